//! WebSocket by hand, for frames that no library sends.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::soon;

pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// A TCP connection on which an upgrade was answered.
pub struct Raw {
    pub stream: TcpStream,
}

impl Raw {
    /// Asks for an upgrade; an error where the server refuses.
    pub async fn upgrade(address: SocketAddr, path: &str) -> io::Result<Self> {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut head = Vec::new();
        soon("an answer to an upgrade", async {
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await?);
            }
            io::Result::Ok(())
        })
        .await?;
        if !head.starts_with(b"HTTP/1.1 101") {
            return Err(io::Error::other(
                String::from_utf8_lossy(&head).into_owned(),
            ));
        }
        Ok(Self { stream })
    }

    /// Sends bytes. The server may have hung up already.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    pub async fn text(&mut self, text: &str) -> io::Result<()> {
        self.write(&frame(true, TEXT, text.as_bytes())).await
    }

    /// Reads one frame: its kind and content.
    pub async fn read(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let kind = self.stream.read_u8().await? & 0x0f;
        let length = match self.stream.read_u8().await? {
            126 => self.stream.read_u16().await?.into(),
            127 => self.stream.read_u64().await?,
            length => length.into(),
        };
        let mut content = vec![0; length as usize];
        self.stream.read_exact(&mut content).await?;
        Ok((kind, content))
    }

    /// Whether the server hangs up, rather than sending a text with this in it.
    pub async fn ends_before(&mut self, text: &str) -> bool {
        soon("an answer or the end", async {
            loop {
                match self.read().await {
                    Ok((TEXT, content)) if String::from_utf8_lossy(&content).contains(text) => {
                        return false;
                    }
                    Ok(_) => {}
                    Err(_) => return true,
                }
            }
        })
        .await
    }
}

/// A client's frame, masked with zeros.
pub fn frame(last: bool, kind: u8, content: &[u8]) -> Vec<u8> {
    let mut frame = header(last, kind, content.len() as u64);
    frame.extend_from_slice(content);
    frame
}

/// The header of a client's frame, with the mask.
pub fn header(last: bool, kind: u8, length: u64) -> Vec<u8> {
    let mut header = vec![u8::from(last) << 7 | kind];
    match length {
        0..126 => header.push(0x80 | length as u8),
        126..0x1_0000 => {
            header.push(0x80 | 126);
            header.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            header.push(0x80 | 127);
            header.extend_from_slice(&length.to_be_bytes());
        }
    }
    header.extend_from_slice(&[0; 4]);
    header
}
