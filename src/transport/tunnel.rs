//! Joins a client's WebSocket with the replica that has its session, whose bytes pass here unread. When this replica
//! goes down it says so to the client itself, between two frames of the other's, and passes on what the client says
//! before it has gone.

use std::{io, pin::pin};

use futures_util::FutureExt;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, sink, split},
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::chat::socket::CloseReason;
use crate::connection::closing::{CLOSE_GRACE, close_frame};

/// Bytes that are passed to the client at once.
const BUFFER: usize = 8 * 1024;

/// Passes bytes both ways, once both `ends` are there, until either has closed, or `going` is ready and the client has
/// been told and heard: at most a second later, or two where it has only just come, since an Engine.IO client
/// cannot go back to polling once it is about to go over.
pub(super) async fn join<C, O>(
    ends: impl Future<Output = Option<(C, O)>>,
    going: impl Future<Output = ()>,
) where
    C: AsyncRead + AsyncWrite,
    O: AsyncRead + AsyncWrite,
{
    let settled = Instant::now() + CLOSE_GRACE;
    let going = async {
        going.await;
        sleep_until(settled).await;
    };
    let going = going.shared();
    let passing = async {
        if let Some((client, owner)) = ends.await {
            pass(client, owner, going.clone()).await;
        }
    };
    let late = async {
        going.clone().await;
        sleep(CLOSE_GRACE).await;
    };
    tokio::select! {
        () = passing => {}
        () = late => {}
    }
}

async fn pass<C, O>(client: C, owner: O, going: impl Future<Output = ()>)
where
    C: AsyncRead + AsyncWrite,
    O: AsyncRead + AsyncWrite,
{
    let (mut from_client, mut to_client) = split(client);
    let (mut from_owner, mut to_owner) = split(owner);
    let up = async {
        copy(&mut from_client, &mut to_owner).await?;
        to_owner.shutdown().await
    };
    let down = async {
        if pass_down(&mut from_owner, &mut to_client, going).await? {
            // What else it is told comes too late.
            copy(&mut from_owner, &mut sink()).await?;
        }
        to_client.shutdown().await
    };
    let (mut up, mut down) = (pin!(up), pin!(down));
    // Either end may break at any time; the other one notices by its end.
    tokio::select! {
        passed = &mut up => if passed.is_ok() {
            let _ = down.await;
        },
        // Closed while the client is still saying something, it might not read the last that it was told.
        _ = &mut down => {
            let _ = timeout(CLOSE_GRACE, up).await;
        }
    }
}

/// Passes on what the owner tells the client. True once the client was told that this replica goes.
async fn pass_down(
    from_owner: &mut (impl AsyncRead + Unpin),
    to_client: &mut (impl AsyncWrite + Unpin),
    going: impl Future<Output = ()>,
) -> io::Result<bool> {
    let mut going = pin!(going);
    let mut position = Position::default();
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = tokio::select! {
            biased;
            count = from_owner.read(&mut buffer) => count?,
            () = &mut going, if position.is_between_frames() => {
                to_client.write_all(&close_frame(CloseReason::Shutdown)).await?;
                to_client.flush().await?;
                return Ok(true);
            }
        };
        if count == 0 {
            return Ok(false);
        }
        position.pass(&buffer[..count]);
        to_client.write_all(&buffer[..count]).await?;
        to_client.flush().await?;
    }
}

/// Where in a server's frames (RFC 6455, 5.2; not masked) a stream is.
#[derive(Default)]
struct Position {
    /// Of a head that has not come whole.
    head: Vec<u8>,
    /// Bytes of the current frame that have not come.
    to_come: u64,
}

impl Position {
    fn is_between_frames(&self) -> bool {
        self.head.is_empty() && self.to_come == 0
    }

    fn pass(&mut self, mut bytes: &[u8]) {
        while let Some((first, rest)) = bytes.split_first() {
            if self.to_come > 0 {
                let now = self.to_come.min(bytes.len() as u64);
                self.to_come -= now;
                bytes = &bytes[now as usize..];
                continue;
            }
            self.head.push(*first);
            bytes = rest;
            let length = match self.head[..] {
                [_, 126, high, low] => u16::from_be_bytes([high, low]).into(),
                [_, 127, ref length @ ..] if length.len() == 8 => length
                    .iter()
                    .fold(0, |length, byte| length << 8 | u64::from(*byte)),
                [_, length] if length < 126 => length.into(),
                _ => continue,
            };
            self.to_come = length;
            self.head.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    type End = tokio::io::DuplexStream;

    #[test]
    fn it_knows_where_frames_end_however_they_are_cut() {
        let frame = |head: &[u8], length: usize| [head, &vec![b'x'; length]].concat();
        let frames = [
            frame(&[0x81, 5], 5),
            frame(&[0x89, 0], 0),
            frame(&[0x81, 126, 0x01, 0x00], 256),
            frame(&[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0], 65_536),
        ];
        let ends: Vec<_> = frames
            .iter()
            .scan(0, |end, frame| {
                *end += frame.len();
                Some(*end)
            })
            .collect();
        let stream = frames.concat();
        for part in [1, 2, 3, 7, 300, stream.len()] {
            let (mut position, mut passed) = (Position::default(), 0);
            for bytes in stream.chunks(part) {
                position.pass(bytes);
                passed += bytes.len();
                assert_eq!(
                    position.is_between_frames(),
                    ends.contains(&passed),
                    "{part}, {passed}"
                );
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_not_waited_for() {
        let (_client, here) = tokio::io::duplex(1);
        let (there, mut owner) = tokio::io::duplex(1 << 16);
        let (go, going) = tokio::sync::oneshot::channel::<()>();
        let joined = tokio::spawn(join(ready(Some((here, there))), async {
            drop(going.await)
        }));
        owner.write_all(b"\x81\x05hello").await.unwrap();
        go.send(()).unwrap();
        timeout(3 * CLOSE_GRACE, joined).await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn ends_that_never_come_are_not_waited_for() {
        let joined = join(pending::<Option<(End, End)>>(), ready(()));
        timeout(3 * CLOSE_GRACE, joined).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_is_told_between_two_frames_and_heard_until_it_closes() {
        let (mut client, here) = tokio::io::duplex(1 << 16);
        let (there, mut owner) = tokio::io::duplex(1 << 16);
        let (go, going) = tokio::sync::oneshot::channel::<()>();
        let joined = tokio::spawn(join(ready(Some((here, there))), async {
            drop(going.await)
        }));
        owner.write_all(b"\x81\x05he").await.unwrap();
        let mut told = [0; 4];
        client.read_exact(&mut told).await.unwrap();
        go.send(()).unwrap();
        client.write_all(b"one ").await.unwrap();
        let mut heard = [0; 4];
        owner.read_exact(&mut heard).await.unwrap();
        owner.write_all(b"llo").await.unwrap();
        let mut told = [0; 7];
        client.read_exact(&mut told).await.unwrap();
        assert_eq!(&told[..3], b"llo");
        assert_eq!(told[3..], close_frame(CloseReason::Shutdown)[..4]);
        client.write_all(b"two").await.unwrap();
        client.shutdown().await.unwrap();
        let mut heard = String::new();
        owner.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "two");
        drop(owner);
        joined.await.unwrap();
    }
}
