//! Registration mails, against a small SMTP server that also refuses, breaks off or is not there.

use std::{sync::Arc, time::Duration};

use handshaken::account::{Options, Smtp};
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::harness::{HERE, eventually, in_folder, open};

/// What the server does with the connections that come one after another; the last goes for all further ones.
#[derive(Clone, Copy)]
enum Manner {
    Takes,
    /// Answers the recipient with this.
    Refuses(&'static str),
    /// Breaks off where the mail should come.
    BreaksOff,
}

/// Mails that were taken, and how many connections there were.
#[derive(Default)]
struct Seen {
    mails: Vec<String>,
    connections: usize,
}

struct MailServer {
    port: u16,
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

#[tokio::test]
async fn who_registers_gets_a_mail_without_the_password_and_the_name() {
    let folder = TempDir::new().unwrap();
    let server = MailServer::start(&[Manner::Takes]).await;
    let accounts = open(with_mail(&folder, server.port)).await;
    let registered = accounts
        .register("Buy now", "ann@example.org", HERE)
        .await
        .unwrap();
    let mail = server.first_mail().await;
    assert!(mail.contains("RCPT TO:<ann@example.org>"), "{mail}");
    assert!(
        mail.contains("From: \"The chat\" <chat@example.org>"),
        "{mail}"
    );
    assert!(mail.contains("To: ann@example.org"), "{mail}");
    assert!(mail.contains("Log in with the address"), "{mail}");
    assert!(
        !mail.contains(&registered.password) && !mail.contains("Buy now"),
        "{mail}"
    );
    accounts.close().await;
}

#[tokio::test]
async fn a_server_that_refuses_for_the_moment_is_tried_again() {
    for manner in [
        Manner::Refuses("451 4.7.1 come back later"),
        Manner::BreaksOff,
    ] {
        let folder = TempDir::new().unwrap();
        let server = MailServer::start(&[manner, Manner::Takes]).await;
        let accounts = open(with_mail(&folder, server.port)).await;
        accounts
            .register("ann", "ann@example.org", HERE)
            .await
            .unwrap();
        server.first_mail().await;
        assert_eq!(server.seen.lock().connections, 2);
    }
}

#[tokio::test]
async fn what_is_refused_for_good_is_not_tried_again() {
    let folder = TempDir::new().unwrap();
    let server =
        MailServer::start(&[Manner::Refuses("550 5.1.1 nobody here"), Manner::Takes]).await;
    let accounts = open(with_mail(&folder, server.port)).await;
    accounts
        .register("ann", "ann@example.org", HERE)
        .await
        .unwrap();
    eventually("the mail server was asked", async || {
        let connections = server.seen.lock().connections;
        if connections == 1 {
            Ok(())
        } else {
            Err(format!("{connections} connections"))
        }
    })
    .await;
    // The second mail gets through, and it is the only one.
    accounts
        .register("bob", "bob@example.org", HERE)
        .await
        .unwrap();
    let mail = server.first_mail().await;
    assert!(mail.contains("RCPT TO:<bob@example.org>"), "{mail}");
    accounts.close().await;
    assert_eq!(server.seen.lock().connections, 2);
}

#[tokio::test]
async fn registration_answers_and_closing_ends_while_no_mail_server_is_there() {
    let folder = TempDir::new().unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = nobody.local_addr().unwrap().port();
    drop(nobody);
    let accounts = open(with_mail(&folder, port)).await;
    let registered = accounts
        .register("ann", "ann@example.org", HERE)
        .await
        .unwrap();
    accounts
        .login("ann@example.org", &registered.password, HERE)
        .await
        .unwrap();
    accounts.close().await;
}

#[tokio::test]
async fn closing_ends_soon_while_a_mail_server_takes_connections_and_says_nothing() {
    let folder = TempDir::new().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let accounts = open(with_mail(&folder, silent.local_addr().unwrap().port())).await;
    // More than are sent at once.
    for at in 0..6 {
        accounts
            .register(&format!("ann{at}"), &format!("ann{at}@example.org"), HERE)
            .await
            .unwrap();
    }
    let _asked = silent.accept().await.unwrap();
    // One turn after the other, each as long as the mail server may take for a command, would be 40 s.
    let closed = tokio::time::timeout(Duration::from_secs(15), accounts.close());
    assert!(closed.await.is_ok(), "mails keep the server from its end");
}

#[test]
fn a_mail_server_is_shown_without_its_password() {
    let smtp = Smtp::new("smtps://chat:geheim@mail.example:465", "chat@mail.example").unwrap();
    assert_eq!(smtp.to_string(), "smtps://chat@mail.example:465");
    assert!(!format!("{smtp:?}").contains("geheim"));
    for (url, from) in [
        ("geheim", "chat@mail.example"),
        ("https://chat:geheim@mail.example", "chat@mail.example"),
        (
            "smtp://chat:geheim@mail.example?tls=no",
            "chat@mail.example",
        ),
        ("smtps://chat:geheim/x@mail.example", "chat@mail.example"),
        ("smtps://chat:geheim@mail.example", "chat"),
    ] {
        let error = Smtp::new(url, from).unwrap_err();
        assert!(!error.contains("geheim"), "{error}");
    }
}

fn with_mail(folder: &TempDir, port: u16) -> Options {
    let mut options = in_folder(folder.path());
    let smtp = Smtp::new(
        &format!("smtp://127.0.0.1:{port}"),
        "The chat <chat@example.org>",
    );
    options.smtp = Some(smtp.unwrap());
    options
}

impl MailServer {
    async fn start(manners: &[Manner]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let task = tokio::spawn(serve(listener, manners.to_vec(), Arc::clone(&seen)));
        Self { port, seen, task }
    }

    async fn first_mail(&self) -> String {
        eventually("a mail comes", async || {
            let seen = self.seen.lock();
            seen.mails
                .first()
                .cloned()
                .ok_or_else(|| format!("{} connections, no mail", seen.connections))
        })
        .await
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One connection after another, so that each has its manner.
async fn serve(listener: TcpListener, manners: Vec<Manner>, seen: Arc<Mutex<Seen>>) {
    for turn in 0.. {
        let (stream, _) = listener.accept().await.unwrap();
        seen.lock().connections += 1;
        // A client that breaks off has said what it wanted.
        let _ = converse(stream, manners[turn.min(manners.len() - 1)], &seen).await;
    }
}

async fn converse(
    mut stream: TcpStream,
    manner: Manner,
    seen: &Mutex<Seen>,
) -> std::io::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut lines = BufReader::new(reader).lines();
    let mut heard = String::new();
    let mut in_mail = false;
    writer.write_all(b"220 mail.example ESMTP\r\n").await?;
    while let Some(line) = lines.next_line().await? {
        heard.push_str(&line);
        heard.push('\n');
        let answer = match (in_mail, line.split_whitespace().next().unwrap_or_default()) {
            (true, ".") => {
                in_mail = false;
                seen.lock().mails.push(std::mem::take(&mut heard));
                "250 taken"
            }
            (true, _) => continue,
            (false, "RCPT") => match manner {
                Manner::Refuses(answer) => answer,
                _ => "250 ok",
            },
            (false, "DATA") => match manner {
                Manner::BreaksOff => return Ok(()),
                _ => {
                    in_mail = true;
                    "354 go on"
                }
            },
            (false, "QUIT") => "221 bye",
            (false, _) => "250 ok",
        };
        writer.write_all(format!("{answer}\r\n").as_bytes()).await?;
    }
    Ok(())
}
