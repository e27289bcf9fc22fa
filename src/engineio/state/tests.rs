//! The protocol, step by step, without IO.

use super::{super::Timing, *};

const INTERVAL: Duration = Duration::from_secs(25);
const TIMEOUT: Duration = Duration::from_secs(20);
const SECOND: Duration = Duration::from_secs(1);

const TIMING: Timing = Timing {
    ping_interval: INTERVAL,
    ping_timeout: TIMEOUT,
    connect_timeout: Duration::from_secs(45),
};

fn polling(protocol: Protocol) -> (State, Instant) {
    let now = Instant::now();
    let mut state = State::new(protocol, Transport::Polling, TIMING, now);
    state.joined();
    (state, now)
}

fn message(text: &str) -> Packet {
    Packet::Message(text.to_owned().into())
}

#[test]
fn a_poll_waits_until_something_is_queued_and_takes_sixteen_packets_at_most() {
    let (mut state, _) = polling(Protocol::Eio4);
    state.begin_poll().unwrap();
    assert_eq!(state.answer(), Answer::Nothing);
    for n in 0..20 {
        state.push(message(&n.to_string()));
    }
    let packets = |from: usize, to: usize| {
        Answer::Packets((from..to).map(|n| message(&n.to_string())).collect())
    };
    assert_eq!(state.answer(), packets(0, 16));
    assert_eq!(state.answer(), packets(16, 20));
    assert_eq!(state.answer(), Answer::Nothing);
}

#[test]
fn there_is_one_poll_and_one_body_at_a_time() {
    let (mut state, _) = polling(Protocol::Eio4);
    state.begin_poll().unwrap();
    state.begin_post().unwrap();
    assert_eq!(state.begin_poll(), Err(Refused::Overlap));
    assert_eq!(state.begin_post(), Err(Refused::Overlap));
    state.end_poll();
    state.end_post();
    assert_eq!((state.begin_poll(), state.begin_post()), (Ok(()), Ok(())));
}

#[test]
fn the_server_pings_after_the_interval_and_the_client_has_the_timeout_to_answer() {
    let (mut state, began) = polling(Protocol::Eio4);
    assert_eq!(state.due(began), Due::At(began + INTERVAL));
    let pinged = began + INTERVAL;
    assert_eq!(state.due(pinged), Due::Ping);
    assert_eq!(state.pop(), Some(Packet::Ping));
    assert_eq!(state.due(pinged), Due::At(pinged + TIMEOUT));
    let answered = pinged + TIMEOUT - SECOND;
    assert_eq!(state.receive(Packet::Pong, answered), Received::Nothing);
    assert_eq!(state.due(answered), Due::At(answered + INTERVAL));
    assert_eq!(state.due(answered + INTERVAL), Due::Ping);
    assert_eq!(state.due(answered + INTERVAL + TIMEOUT), Due::Gone);
}

#[test]
fn an_old_client_pings_and_is_answered() {
    let (mut state, began) = polling(Protocol::Eio3);
    let patience = INTERVAL + TIMEOUT;
    assert_eq!(state.due(began), Due::At(began + patience));
    let pinged = began + INTERVAL;
    assert_eq!(state.receive(Packet::Ping, pinged), Received::Queued);
    assert_eq!(state.pop(), Some(Packet::Pong));
    assert_eq!(state.due(pinged), Due::At(pinged + patience));
    assert_eq!(state.due(pinged + patience), Due::Gone);
}

#[test]
fn a_client_that_is_kept_from_answering_is_not_gone() {
    for protocol in [Protocol::Eio3, Protocol::Eio4] {
        let (mut state, began) = polling(protocol);
        state.begin_post().unwrap();
        let mut now = began;
        for _ in 0..1000 {
            now += SECOND;
            assert_ne!(state.due(now), Due::Gone, "{protocol:?}");
        }
        state.end_post();
        assert_eq!(
            state.due(now + INTERVAL + TIMEOUT),
            Due::Gone,
            "{protocol:?}"
        );
    }
}

#[test]
fn who_does_not_join_in_time_is_gone() {
    let began = Instant::now();
    let mut state = State::new(Protocol::Eio3, Transport::Websocket, TIMING, began);
    state.receive(Packet::Ping, began + INTERVAL);
    let late = began + TIMING.connect_timeout;
    assert_eq!(state.due(began + INTERVAL), Due::At(late));
    assert_eq!(state.due(late), Due::Gone);
}

#[test]
fn a_client_goes_over_once_and_its_poll_is_answered() {
    let (mut state, now) = polling(Protocol::Eio4);
    state.begin_poll().unwrap();
    assert!(state.begin_probe());
    assert!(!state.begin_probe());
    assert_eq!(state.answer(), Answer::Nothing);
    state.release_poll();
    assert_eq!(state.answer(), Answer::Packets(vec![Packet::Noop]));
    state.end_poll();
    state.begin_poll().unwrap();
    state.push(message("after"));
    assert!(state.go_over(now));
    assert_eq!(state.answer(), Answer::Packets(vec![Packet::Noop]));
    assert_eq!(state.pop(), Some(message("after")));
    assert_eq!(state.begin_poll(), Err(Refused::Transport));
    state.end_probe();
    assert!(!state.begin_probe());
}

#[test]
fn what_is_queued_when_the_end_is_decided_is_still_told() {
    let (mut state, _) = polling(Protocol::Eio4);
    state.push(message("last"));
    state.close();
    state.begin_poll().unwrap();
    assert_eq!(state.answer(), Answer::Packets(vec![message("last")]));
    assert_eq!(state.answer(), Answer::Over);
    state.end();
    assert!(!state.push(message("too late")));
    assert_eq!(state.begin_post(), Err(Refused::Over));
}

#[test]
fn packets_mean_what_they_mean_on_node() {
    use Received::*;
    let of = |protocol, transport, packet| {
        let now = Instant::now();
        State::new(protocol, transport, TIMING, now).receive(packet, now)
    };
    for (packet, eio3, eio4) in [
        (Packet::Ping, Queued, Invalid),
        (Packet::PingUpgrade, Queued, Invalid),
        (Packet::Pong, Invalid, Nothing),
        (Packet::Upgrade, Nothing, Nothing),
        (Packet::Noop, Nothing, Nothing),
        (Packet::Close, Nothing, Nothing),
    ] {
        let what = format!("{packet:?}");
        let [old, new] = [Protocol::Eio3, Protocol::Eio4]
            .map(|protocol| of(protocol, Transport::Websocket, packet.clone()));
        assert_eq!((old, new), (eio3, eio4), "{what}");
    }
    assert_eq!(of(Protocol::Eio4, Transport::Polling, Packet::Close), Left);
}
