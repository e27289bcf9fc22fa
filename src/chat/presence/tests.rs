//! Who is told of whom, and when.

use super::*;

const NAMED: usize = 200;

fn room() -> RoomName {
    RoomName::lobby()
}

fn name(name: &str) -> Option<AuthorName> {
    Some(name.parse().unwrap())
}

fn names(people: &[Person]) -> Vec<&str> {
    people.iter().map(|person| person.name.as_str()).collect()
}

/// The one change there is.
fn change(presence: &Presence) -> Change {
    let mut changes = presence.changes(NAMED, NAMED);
    assert_eq!(changes.len(), 1, "{changes:?}");
    changes.remove(0)
}

#[test]
fn arrivals_and_departures_are_told_once() {
    let presence = Presence::new();
    let (ann, bob) = (SocketId::next(), SocketId::next());
    let _ann = presence.enter(room(), ann, name("ann"));
    let leaves = presence.enter(room(), bob, name("bob"));
    assert_eq!(names(&change(&presence).joined), ["ann", "bob"]);
    assert_eq!(presence.changes(NAMED, NAMED), []);
    drop(leaves);
    let told = change(&presence);
    assert_eq!(
        (names(&told.joined), told.left, told.total),
        (vec![], vec![bob], 1)
    );
    assert_eq!(presence.changes(NAMED, NAMED), []);
}

#[test]
fn a_guest_who_takes_a_name_is_counted_once() {
    let presence = Presence::new();
    let ann = presence.enter(room(), SocketId::next(), None);
    presence.changes(NAMED, NAMED);
    ann.rename(name("ann").unwrap(), None);
    let told = change(&presence);
    assert_eq!(
        (names(&told.joined), told.guests, told.total),
        (vec!["ann"], 0, 1)
    );
    drop(ann);
    assert_eq!(change(&presence).total, 0);
}

#[test]
fn who_comes_and_goes_between_two_tellings_is_not_told() {
    let presence = Presence::new();
    drop(presence.enter(room(), SocketId::next(), name("hasty")));
    assert_eq!(presence.changes(NAMED, NAMED), []);
    assert!(presence.rooms.lock().is_empty(), "an empty room is held");
}

#[test]
fn who_leaves_and_comes_back_between_two_tellings_is_told_as_there() {
    let presence = Presence::new();
    let ann = SocketId::next();
    let stay = presence.enter(room(), ann, name("ann"));
    change(&presence);
    drop(stay);
    let _stay = presence.enter(room(), ann, name("ann"));
    let told = change(&presence);
    assert_eq!((names(&told.joined), told.left), (vec!["ann"], vec![]));
}

#[test]
fn a_new_name_is_told_as_joining_and_counts_once() {
    let presence = Presence::new();
    let stay = presence.enter(room(), SocketId::next(), name("ann"));
    change(&presence);
    stay.rename("anna".parse().unwrap(), None);
    let told = change(&presence);
    assert_eq!((names(&told.joined), told.total), (vec!["anna"], 1));
    assert_eq!(names(&presence.roll(&room(), NAMED).people), ["anna"]);
}

#[test]
fn who_proved_to_be_a_user_is_told_as_that_user() {
    let presence = Presence::new();
    let user = |id: &str| id.parse::<UserId>().ok();
    let ann = "ann".parse().unwrap();
    let stay = presence.enter_as(room(), SocketId::next(), ann, user("7"));
    assert_eq!(change(&presence).joined[0].user, user("7"));
    stay.rename("ann".parse().unwrap(), user("8"));
    assert_eq!(change(&presence).joined[0].user, user("8"));
    assert_eq!(presence.roll(&room(), NAMED).people[0].user, user("8"));
}

#[test]
fn guests_are_counted_and_not_named() {
    let presence = Presence::new();
    let guest = presence.enter(room(), SocketId::next(), None);
    let told = change(&presence);
    assert_eq!((told.joined.len(), told.guests, told.total), (0, 1, 1));
    drop(guest);
    let told = change(&presence);
    assert_eq!((told.left.len(), told.guests, told.total), (0, 0, 0));
    assert!(presence.rooms.lock().is_empty(), "an empty room is held");
}

#[test]
fn only_so_many_are_named_and_all_are_counted() {
    let presence = Presence::new();
    let stays: Vec<_> = (0..5)
        .map(|n| presence.enter(room(), SocketId::next(), name(&n.to_string())))
        .collect();
    let roll = presence.roll(&room(), 2);
    assert_eq!((names(&roll.people), roll.total), (vec!["0", "1"], 5));
    let told = presence.changes(2, NAMED).remove(0);
    assert_eq!((names(&told.joined), told.total), (vec!["0", "1"], 5));
    drop(stays);
    let told = presence.changes(2, NAMED).remove(0);
    assert_eq!((told.left.len(), told.total), (2, 0));
}

#[test]
fn of_many_who_leave_at_once_all_who_were_named_are_told_a_few_at_a_time() {
    let presence = Presence::new();
    let _reader = presence.enter(room(), SocketId::next(), name("reader"));
    let crowd: Vec<_> = (0..5).map(|_| SocketId::next()).collect();
    for socket in &crowd {
        presence.learn("other", vec![part(&[(*socket, "ann")], &[], 0)]);
        change(&presence);
    }
    presence.forget("other");
    let mut left = Vec::new();
    for expected in [2, 2, 1] {
        let told = presence.changes(NAMED, 2).remove(0);
        assert_eq!((told.left.len(), told.total), (expected, 1));
        left.extend(told.left);
    }
    assert_eq!(presence.changes(NAMED, 2), []);
    left.sort();
    let mut crowd = crowd;
    crowd.sort();
    assert_eq!(left, crowd);
}

#[test]
fn who_was_named_to_a_newcomer_alone_is_told_as_leaving_and_who_was_never_named_is_only_counted() {
    let presence = Presence::new();
    let [ann, bob, cyd] = [SocketId::next(), SocketId::next(), SocketId::next()];
    let first = presence.enter(room(), ann, name("ann"));
    let _bob = presence.enter(room(), bob, name("bob"));
    let last = presence.enter(room(), cyd, name("cyd"));
    presence.changes(0, NAMED);
    assert_eq!(names(&presence.roll(&room(), 1).people), ["ann"]);
    drop(last);
    let told = change(&presence);
    assert_eq!((told.left, told.total), (vec![], 2));
    drop(first);
    assert_eq!(change(&presence).left, [ann]);
}

#[test]
fn leaving_one_room_is_not_told_in_another() {
    let presence = Presence::new();
    let ann = SocketId::next();
    let other: RoomName = "other".parse().unwrap();
    let leaves = presence.enter(room(), ann, name("ann"));
    let _stays = presence.enter(other.clone(), ann, name("ann"));
    presence.changes(NAMED, NAMED);
    drop(leaves);
    assert_eq!(change(&presence).room, room());
    let others = presence.rooms_besides(&HashSet::from([room()]), NAMED);
    assert_eq!(others, [(other, 1)]);
}
/// Another replica's part of the room.
fn part(people: &[(SocketId, &str)], left: &[SocketId], guests: usize) -> Part {
    Part {
        room: room(),
        people: (people.iter())
            .map(|(id, name)| Person {
                id: *id,
                name: name.parse().unwrap(),
                user: None,
            })
            .collect(),
        left: left.to_vec(),
        guests,
    }
}

#[test]
fn people_and_guests_of_other_replicas_are_here_too() {
    let presence = Presence::new();
    let _ann = presence.enter(room(), SocketId::next(), name("ann"));
    let _guest = presence.enter(room(), SocketId::next(), None);
    let bob = SocketId::next();
    presence.learn("other", vec![part(&[(bob, "bob")], &[], 2)]);
    let told = change(&presence);
    assert_eq!(names(&told.joined), ["ann", "bob"]);
    assert_eq!((told.guests, told.total), (3, 5));
    let roll = presence.roll(&room(), NAMED);
    assert_eq!((names(&roll.people), roll.guests), (vec!["ann", "bob"], 3));
    presence.learn("other", vec![part(&[], &[bob], 0)]);
    let told = change(&presence);
    assert_eq!((told.left, told.guests, told.total), (vec![bob], 1, 2));
}

#[test]
fn who_is_on_a_replica_that_is_gone_is_gone() {
    let presence = Presence::new();
    let [ann, bob] = [SocketId::next(), SocketId::next()];
    presence.learn("one", vec![part(&[(ann, "ann")], &[], 1)]);
    presence.learn("other", vec![part(&[(bob, "bob")], &[], 1)]);
    change(&presence);
    presence.forget("one");
    let told = change(&presence);
    assert_eq!((told.left, told.guests, told.total), (vec![ann], 1, 2));
    presence.forget("other");
    change(&presence);
    assert!(presence.rooms.lock().is_empty(), "an empty room is held");
}

#[test]
fn of_a_replica_that_tells_all_anew_only_what_changed_is_told() {
    let presence = Presence::new();
    let [ann, bob, cyd] = [SocketId::next(), SocketId::next(), SocketId::next()];
    presence.learn("one", vec![part(&[(ann, "ann"), (bob, "bob")], &[], 1)]);
    change(&presence);
    presence.replace("one", vec![part(&[(bob, "bob"), (cyd, "cyd")], &[], 1)]);
    let told = change(&presence);
    assert_eq!((names(&told.joined), told.left), (vec!["cyd"], vec![ann]));
    presence.replace("one", vec![part(&[(bob, "bob"), (cyd, "cyd")], &[], 1)]);
    assert_eq!(presence.changes(NAMED, NAMED), []);
}

#[test]
fn others_are_told_of_those_on_this_replica_and_of_nobody_else() {
    let presence = Presence::new();
    presence.share();
    let [ann, bob, cyd] = [SocketId::next(), SocketId::next(), SocketId::next()];
    let _ann = presence.enter(room(), ann, name("ann"));
    let leaves = presence.enter(room(), bob, name("bob"));
    let _guest = presence.enter(room(), SocketId::next(), None);
    presence.learn("other", vec![part(&[(cyd, "cyd")], &[], 5)]);
    let both = part(&[(ann, "ann"), (bob, "bob")], &[], 1);
    assert_eq!(presence.own_changes(), std::slice::from_ref(&both));
    assert_eq!(presence.own_changes(), []);
    drop(leaves);
    // Whoever is told all needs to be told of no change before.
    assert_eq!(presence.own(), [part(&[(ann, "ann")], &[], 1)]);
    assert_eq!(presence.own_changes(), []);
}

#[test]
fn the_last_to_leave_is_still_told_to_others() {
    let presence = Presence::new();
    presence.share();
    let ann = SocketId::next();
    let leaves = presence.enter(room(), ann, name("ann"));
    presence.own_changes();
    drop(leaves);
    presence.changes(NAMED, NAMED);
    assert_eq!(presence.own_changes(), [part(&[], &[ann], 0)]);
    presence.changes(NAMED, NAMED);
    assert!(presence.rooms.lock().is_empty(), "an empty room is held");
}
