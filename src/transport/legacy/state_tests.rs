//! What a session says, and when it ends, in a time that is made up: seconds since its handshake.

use super::*;

const TIMES: Times = Times {
    heartbeat_timeout: Duration::from_secs(60),
    heartbeat_interval: Duration::from_secs(25),
    close_timeout: Duration::from_secs(60),
    polling_duration: Duration::from_secs(20),
    unused: Duration::from_secs(30),
};

/// A session, and seconds since it began.
struct Session {
    state: State,
    began: Instant,
}

impl Session {
    fn new() -> Self {
        let began = Instant::now();
        let state = State::new(began, &TIMES);
        Self { state, began }
    }

    fn at(&self, seconds: f64) -> Instant {
        self.began + Duration::from_secs_f64(seconds)
    }

    fn attach(&mut self, way: Way, seconds: f64) -> Option<Turn> {
        let now = self.at(seconds);
        let attached = self.state.attach(way, true, None, now, &TIMES);
        attached.map(|(turn, _)| turn)
    }

    /// A poll that is answered at once.
    fn poll(&mut self, seconds: f64) -> Taken<String> {
        let Some(turn) = self.attach(Way::Poll, seconds) else {
            return Taken::Over;
        };
        let taken = self.state.take_payload(turn);
        self.state.detach(turn, true, self.at(seconds), &TIMES);
        taken
    }

    fn due(&mut self, seconds: f64) -> Option<Due> {
        let now = self.at(seconds);
        self.state.due(now, &TIMES)
    }
}

fn text(text: &str) -> Taken<String> {
    Taken::Some(text.to_owned())
}

#[test]
fn the_first_to_come_is_told_that_it_is_connected_and_nobody_after_it() {
    let mut session = Session::new();
    assert_eq!(session.poll(0.0), text("1::"));
    assert_eq!(session.poll(1.0), Taken::Wait);
    let turn = session.attach(Way::Stream, 2.0).unwrap();
    assert_eq!(session.state.take_packet(turn), Taken::Wait);
}

#[test]
fn what_was_said_between_two_polls_is_there_for_the_next() {
    let mut session = Session::new();
    session.poll(0.0);
    session.state.push("3:::a");
    session.state.push("3:::b");
    assert_eq!(
        session.poll(1.0),
        text("\u{fffd}5\u{fffd}3:::a\u{fffd}5\u{fffd}3:::b")
    );
    assert_eq!(session.poll(2.0), Taken::Wait);
}

#[test]
fn what_could_not_be_written_is_said_again_and_in_its_place() {
    let mut session = Session::new();
    session.poll(0.0);
    session.state.push("3:::a");
    let turn = session.attach(Way::Poll, 1.0).unwrap();
    assert_eq!(session.state.take_payload(turn), text("3:::a"));
    session.state.push("3:::b");
    session.state.detach(turn, false, session.at(1.0), &TIMES);
    assert_eq!(
        session.poll(2.0),
        text("\u{fffd}5\u{fffd}3:::a\u{fffd}5\u{fffd}3:::b")
    );
}

#[test]
fn what_went_out_on_a_connection_that_broke_is_said_again() {
    let mut session = Session::new();
    session.poll(0.0);
    session.state.push("3:::a");
    assert_eq!(session.poll(1.0), text("3:::a"));
    let now = session.at(2.0);
    let (turn, attached) = session
        .state
        .attach(Way::Poll, false, None, now, &TIMES)
        .unwrap();
    assert_eq!(attached.arrived, Load::default());
    assert_eq!(session.state.take_payload(turn), text("3:::a"));
}

#[test]
fn what_arrived_is_forgotten_at_the_next_poll() {
    let mut session = Session::new();
    session.poll(0.0);
    session.state.push("3:::a");
    session.state.push("3:::bc");
    session.poll(1.0);
    let now = session.at(2.0);
    let (_, attached) = session
        .state
        .attach(Way::Poll, true, None, now, &TIMES)
        .unwrap();
    let packets = Load {
        packets: 2,
        bytes: 11,
    };
    assert_eq!(attached.arrived, packets);
}

#[test]
fn a_later_poll_takes_the_place_of_one_that_is_held() {
    let mut session = Session::new();
    session.poll(0.0);
    let older = session.attach(Way::Poll, 1.0).unwrap();
    let newer = session.attach(Way::Poll, 2.0).unwrap();
    session.state.push("3:::a");
    assert_eq!(session.state.take_payload(older), Taken::Replaced);
    session.state.detach(older, true, session.at(3.0), &TIMES);
    assert_eq!(session.due(1000.0), None, "the newer one is still held");
    assert_eq!(session.state.take_payload(newer), text("3:::a"));
}

#[test]
fn a_session_dies_after_its_close_timeout_and_never_sooner() {
    let mut session = Session::new();
    session.poll(10.0);
    assert_eq!(session.due(69.9), None);
    assert!(session.attach(Way::Poll, 69.9).is_some());
    assert_eq!(session.due(500.0), None, "a held poll is not away");
    let turn = session.attach(Way::Poll, 500.0).unwrap();
    session.state.detach(turn, true, session.at(520.0), &TIMES);
    assert_eq!(session.due(579.9), None);
    assert_eq!(session.due(580.0), Some(Due::CloseTimeout));
    assert!(session.attach(Way::Poll, 580.0).is_none());
}

#[test]
fn an_unused_handshake_is_forgotten() {
    let mut session = Session::new();
    assert_eq!(session.due(29.9), None);
    assert_eq!(session.due(30.0), Some(Due::Unused));
    assert!(session.attach(Way::Poll, 30.0).is_none());
}

#[test]
fn heartbeats_follow_each_other_while_they_are_answered() {
    let mut session = Session::new();
    let turn = session.attach(Way::Stream, 0.0).unwrap();
    assert_eq!(session.state.take_packet(turn), Taken::Some("1::".into()));
    assert_eq!(session.due(24.9), None);
    assert_eq!(session.due(25.0), Some(Due::Heartbeat));
    assert_eq!(session.state.take_packet(turn), Taken::Some("2::".into()));
    assert_eq!(session.due(84.9), None);
    session.state.heartbeat(session.at(84.9), &TIMES);
    assert_eq!(session.due(109.8), None);
    assert_eq!(session.due(109.9), Some(Due::Heartbeat));
    assert_eq!(session.due(169.8), None);
    assert_eq!(session.due(169.9), Some(Due::HeartbeatTimeout));
}

#[test]
fn who_does_something_else_gets_more_time_to_answer_a_heartbeat() {
    let mut session = Session::new();
    session.attach(Way::Stream, 0.0).unwrap();
    assert_eq!(session.due(25.0), Some(Due::Heartbeat));
    session.state.is_alive(session.at(80.0));
    assert_eq!(session.due(139.9), None);
    assert_eq!(session.due(140.0), Some(Due::HeartbeatTimeout));
}

#[test]
fn last_words_can_be_taken_and_then_it_is_over() {
    let mut session = Session::new();
    session.poll(0.0);
    session.state.push("0::");
    session.state.end();
    session.state.push("3:::too late");
    assert!(!session.state.is_over());
    assert_eq!(session.poll(1.0), text("0::"));
    assert!(session.attach(Way::Poll, 2.0).is_none());
}

#[test]
fn what_a_stream_took_has_arrived_once_a_heartbeat_that_followed_it_is_answered() {
    let mut session = Session::new();
    let turn = session.attach(Way::Stream, 0.0).unwrap();
    let say = |session: &mut Session| {
        session.state.push(r#"5:::{"name":"a"}"#);
        while let Taken::Some(_) = session.state.take_packet(turn) {}
        session.state.not_arrived()
    };
    assert_eq!(say(&mut session), 1);
    assert_eq!(session.due(25.0), Some(Due::Heartbeat));
    // Goes out behind the heartbeat, whose answer says nothing of it.
    assert_eq!(say(&mut session), 2);
    session.state.heartbeat(session.at(26.0), &TIMES);
    assert_eq!(session.state.not_arrived(), 1);
    assert_eq!(say(&mut session), 2);
    session.state.drop_queued();
    assert_eq!(session.state.not_arrived(), 2, "it never will");
}

#[test]
fn who_goes_in_words_is_told_nothing_again() {
    let mut session = Session::new();
    let turn = session.attach(Way::Stream, 0.0).unwrap();
    session.state.push(r#"5:::{"name":"a"}"#);
    while let Taken::Some(_) = session.state.take_packet(turn) {}
    session.state.begin_close();
    assert_eq!(session.state.not_arrived(), 0);
}
