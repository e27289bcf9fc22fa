//! A server that does not offer every transport: what a handshake tells, and what becomes of the others.

use handshaken::transport::legacy::{Times, Transport};

use super::{
    server,
    wire::{handshake, poll, post, request},
};

const UPGRADE: &str =
    "\nUpgrade: websocket\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";

#[tokio::test]
async fn a_handshake_tells_what_is_offered_in_the_order_of_the_settings() {
    for (offered, told) in [
        (&[Transport::XhrPolling][..], "xhr-polling"),
        (
            &[Transport::JsonpPolling, Transport::Websocket],
            "jsonp-polling,websocket",
        ),
        (
            &Transport::ALL,
            "websocket,htmlfile,xhr-polling,jsonp-polling",
        ),
    ] {
        let server = server::start_offering(offered, Times::default()).await;
        let answer = request(server.address, "GET /socket.io/1/?t=1", "").await;
        let fields: Vec<_> = answer.body.split(':').collect();
        assert_eq!(fields[1..], ["60", "60", told]);
        let script = request(server.address, "GET /socket.io/1/?jsonp=3", "").await;
        assert!(script.body.ends_with(&format!(":{told}\");")), "{script:?}");
    }
}

#[tokio::test]
async fn what_is_not_offered_is_refused_like_what_there_never_was_and_the_session_goes_on() {
    let offered = [Transport::XhrPolling];
    let server = server::start_offering(&offered, Times::default()).await;
    let sid = handshake(server.address).await;
    assert_eq!(poll(server.address, &sid).await, "1::");
    let mut refusals = Vec::new();
    for head in [
        format!("GET /socket.io/1/carrier-pigeon/{sid}"),
        format!("GET /socket.io/1/jsonp-polling/{sid}?i=0"),
        format!("POST /socket.io/1/jsonp-polling/{sid}?i=0"),
        format!("GET /socket.io/1/htmlfile/{sid}"),
        format!("GET /socket.io/1/websocket/{sid}{UPGRADE}"),
    ] {
        let answer = request(server.address, &head, "d=%223%3A1%3A%3Ax%22").await;
        refusals.push((answer.status, answer.body));
    }
    assert_eq!(refusals[0].0, 400);
    assert!(
        refusals.iter().all(|one| *one == refusals[0]),
        "{refusals:?}"
    );
    assert_eq!(post(server.address, &sid, "3:1:/no:x").await, "1");
    assert_eq!(poll(server.address, &sid).await, "6::/no:1");
}

#[tokio::test]
async fn a_farewell_ends_a_session_over_whatever_transport_it_names() {
    let offered = [Transport::XhrPolling];
    let server = server::start_offering(&offered, Times::default()).await;
    let sid = handshake(server.address).await;
    assert_eq!(poll(server.address, &sid).await, "1::");
    let head = format!("GET /socket.io/1/websocket/{sid}/?disconnect=1");
    assert_eq!(request(server.address, &head, "").await.status, 200);
    assert_eq!(poll(server.address, &sid).await, "7:::1+0");
}
