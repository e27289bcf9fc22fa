//! Requests whose bodies nobody wants: the answer is there before the body is.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::harness::{server::Server, soon};

/// More than is read along with the head.
const HALF: usize = 200_000;

#[tokio::test]
async fn a_body_that_nobody_wants_costs_neither_the_answer_nor_the_connection() {
    let server = Server::start(&[]);
    let mut connection = TcpStream::connect(server.address()).await.unwrap();
    for (path, status) in [
        ("/socket.io/1/xhr-polling/gone", "200 OK"),
        (
            "/socket.io/?EIO=4&transport=polling&sid=gone",
            "400 Bad Request",
        ),
        ("/nowhere", "405 Method Not Allowed"),
        ("/health", "405 Method Not Allowed"),
    ] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
            2 * HALF
        );
        connection.write_all(head.as_bytes()).await.unwrap();
        connection.write_all(&[b'x'; HALF]).await.unwrap();
        let answer = soon("an answer", answer(&mut connection)).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}\r\n")),
            "{path}: {answer}"
        );
        connection.write_all(&[b'x'; HALF]).await.unwrap();
    }
    let ask = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n";
    connection.write_all(ask).await.unwrap();
    let answer = soon("an answer", answer(&mut connection)).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

#[tokio::test]
async fn a_body_without_end_that_nobody_wants_costs_the_connection() {
    let server = Server::start(&["--stall-timeout", "1s"]);
    for (length, sent) in [(64 << 20, HALF), (2 * HALF, HALF)] {
        let mut connection = TcpStream::connect(server.address()).await.unwrap();
        let head = format!("POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
        connection.write_all(head.as_bytes()).await.unwrap();
        // It may be told so before all is sent.
        let _ = connection.write_all(&vec![b'x'; sent]).await;
        let mut rest = Vec::new();
        let _ = soon("the end", connection.read_to_end(&mut rest)).await;
        // Closed with much of it unread, the connection may take the answer along.
        let answer = String::from_utf8_lossy(&rest);
        assert!(
            length > 2 * HALF || answer.starts_with("HTTP/1.1 405 "),
            "{answer}"
        );
    }
}

/// The head of an answer, and its body as far as `Content-Length` says.
async fn answer(connection: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    loop {
        let read = connection.read_buf(&mut answer).await.unwrap();
        let text = String::from_utf8_lossy(&answer);
        assert!(read > 0, "the connection was closed after {text:?}");
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            if length.is_none_or(|length| body.len() == length.parse::<usize>().unwrap()) {
                return text.into_owned();
            }
        }
    }
}
