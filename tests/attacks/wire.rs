//! Bytes as they are written, and all that comes back until the server hangs up or says no more.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::harness::soon;

/// Sends bytes, and reads until the server hangs up.
pub async fn send(address: SocketAddr, bytes: &[u8]) -> String {
    read(address, bytes, |_| false).await
}

/// Sends bytes, and reads the head of the first answer.
pub async fn head(address: SocketAddr, bytes: &[u8]) -> String {
    read(address, bytes, |answer| {
        answer.windows(4).any(|end| end == b"\r\n\r\n")
    })
    .await
}

async fn read(address: SocketAddr, bytes: &[u8], is_enough: impl Fn(&[u8]) -> bool) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // It may be refused before all is sent.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let shown = String::from_utf8_lossy(bytes);
    soon(&format!("an answer to {shown:?}"), async {
        // A connection that is closed with bytes unread is reset, behind the answer.
        while !is_enough(&answer) && matches!(stream.read_buf(&mut answer).await, Ok(1..)) {}
    })
    .await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// The statuses of all answers on a connection.
pub fn statuses(answers: &str) -> Vec<&str> {
    let heads = answers.split("HTTP/1.1 ").skip(1);
    heads.filter_map(|head| head.get(..3)).collect()
}
