//! Peers against a server played by the test, byte by byte.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::Ordering::Relaxed;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::*;
use crate::wire::frame;

const LIMIT: Duration = Duration::from_secs(10);

/// Ready as soon as connected; counts events.
struct Counter;

impl Role for Counter {
    type Order = ();
    type Tally = ();

    fn joined(&mut self, peer: &mut Peer) {
        peer.become_ready();
    }

    fn packet(
        &mut self,
        _: &mut Peer,
        packet: Packet<'_>,
        _: u64,
        progress: &Progress,
    ) -> Result<()> {
        if matches!(packet, Packet::Event(_)) {
            progress.done.fetch_add(1, Relaxed);
        }
        Ok(())
    }

    fn order(&mut self, (): (), _: &mut [Peer]) {}

    fn tally(&mut self) {}
}

fn serve(connection: fn(TcpStream)) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || connection(listener.accept().unwrap().0));
    (address, server)
}

fn upgrade(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        request.push(byte[0]);
    }
    let request = String::from_utf8(request).unwrap();
    assert!(request.starts_with("GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n"));
    stream
        .write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        .unwrap();
}

fn say(stream: &mut TcpStream, text: &str) {
    let mut bytes = vec![0x80 | frame::TEXT, text.len() as u8];
    bytes.extend_from_slice(text.as_bytes());
    stream.write_all(&bytes).unwrap();
}

fn hear(stream: &mut TcpStream) -> String {
    let mut header = [0; 6];
    stream.read_exact(&mut header).unwrap();
    let mut payload = vec![0; usize::from(header[1] & 0x7F)];
    stream.read_exact(&mut payload).unwrap();
    for (n, byte) in payload.iter_mut().enumerate() {
        *byte ^= header[2 + n % 4];
    }
    String::from_utf8(payload).unwrap()
}

#[test]
fn a_peer_joins_answers_pings_and_hears_events_that_come_in_pieces() {
    let (address, server) = serve(|mut stream| {
        upgrade(&mut stream);
        say(&mut stream, r#"0{"sid":"e"}"#);
        assert_eq!(hear(&mut stream), "40/chat,");
        say(&mut stream, r#"40/chat,{"sid":"s"}"#);
        say(&mut stream, "2");
        assert_eq!(hear(&mut stream), "3");
        let mut event = vec![0x80 | frame::TEXT, 12];
        event.extend_from_slice(br#"42/chat,["a""#);
        event[1] += 1;
        event.push(b']');
        for piece in event.chunks(5) {
            stream.write_all(piece).unwrap();
            stream.flush().unwrap();
            thread::yield_now();
        }
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
    });
    let mut swarm = Swarm::start(address, Language::SocketIo("/chat"), [Counter]).unwrap();
    swarm.connect(1, LIMIT).unwrap();
    assert!(swarm.wait_done(1, LIMIT), "the event did not arrive");
    assert_eq!(swarm.progress.pings.load(Relaxed), 1);
    assert_eq!(swarm.collect().unwrap().1.count(), 1);
    drop(swarm);
    server.join().unwrap();
}

#[test]
fn a_lost_connection_is_counted_with_its_reason() {
    let (address, server) = serve(|mut stream| {
        upgrade(&mut stream);
        say(&mut stream, "0{}");
        assert_eq!(hear(&mut stream), "40");
        say(&mut stream, "40{}");
        stream.write_all(b"\x88\x0B\x03\xF0slow peer").unwrap();
    });
    let mut swarm = Swarm::start(address, Language::SocketIo("/"), [Counter]).unwrap();
    // The close may overtake the look at who is ready.
    let _ = swarm.connect(1, Duration::from_secs(1));
    server.join().unwrap();
    let deadline = Instant::now() + LIMIT;
    while swarm.progress.dropped.load(Relaxed) == 0 {
        assert!(Instant::now() < deadline, "{}", swarm.progress.reasons());
        thread::yield_now();
    }
    assert_eq!(swarm.progress.reasons(), "1 × closed with 1008 slow peer");
}

#[test]
fn a_server_that_refuses_is_given_up_with_its_words() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        for _ in 0..10 {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).unwrap();
            stream.write_all(b"HTTP/1.1 503 Full\r\n\r\n").unwrap();
        }
    });
    let mut swarm = Swarm::start(address, Language::SocketIo("/"), [Counter]).unwrap();
    let refusal = swarm.connect(1, LIMIT).unwrap_err().to_string();
    assert!(refusal.contains("503 Full"), "{refusal}");
    assert_eq!(swarm.progress.retries.load(Relaxed), 9);
    server.join().unwrap();
}
