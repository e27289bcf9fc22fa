//! How people stand in Redis: a field of the hash for each connection, `<socket> <room>`, with its name and user as JSON,
//! and one for the guests of a room, `guests <room>`; and the same as it is published.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::{
    chat::{
        message::UserId,
        presence::{Part, Person},
    },
    cluster::replicas::ReplicaId,
};

const GUESTS: &str = "guests";

/// Changes of a hash.
pub(super) struct Entries {
    pub set: Vec<(String, String)>,
    pub gone: Vec<String>,
}

/// A person as kept in a field.
#[derive(Serialize, Deserialize)]
struct Named {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<UserId>,
}

/// What one replica tells the others.
#[derive(Serialize, Deserialize)]
pub(super) struct Published {
    pub from: ReplicaId,
    pub number: u64,
    /// None where the others are to read the hash.
    rooms: Option<Vec<Room>>,
}

#[derive(Serialize, Deserialize)]
struct Room {
    room: String,
    people: Vec<(String, Named)>,
    left: Vec<String>,
    guests: usize,
}

impl Entries {
    pub(super) fn of(parts: &[Part]) -> Self {
        let (mut set, mut gone) = (Vec::new(), Vec::new());
        for part in parts {
            for person in &part.people {
                let named = serde_json::to_string(&Named::from(person));
                let named = named.expect("plain data encodes as JSON");
                set.push((format!("{} {}", person.id, part.room), named));
            }
            let left = part.left.iter();
            gone.extend(left.map(|socket| format!("{socket} {}", part.room)));
            let guests = format!("{GUESTS} {}", part.room);
            match part.guests {
                0 => gone.push(guests),
                count => set.push((guests, count.to_string())),
            }
        }
        Self { set, gone }
    }
}

/// All that a hash holds. What is no entry of this version's is left out.
pub(super) fn read(fields: &HashMap<String, String>) -> Vec<Part> {
    let mut rooms: HashMap<&str, Part> = HashMap::new();
    for (field, value) in fields {
        let Some((whose, room)) = field.split_once(' ') else {
            continue;
        };
        let Ok(name) = room.parse() else { continue };
        let part = rooms.entry(room).or_insert_with(|| Part {
            room: name,
            people: Vec::new(),
            left: Vec::new(),
            guests: 0,
        });
        if whose == GUESTS {
            part.guests = value.parse().unwrap_or(0);
        } else if let Ok(named) = serde_json::from_str::<Named>(value) {
            part.people.extend(named.person(whose));
        }
    }
    rooms.into_values().collect()
}

impl Published {
    pub(super) fn new(from: &ReplicaId, number: u64, parts: Option<&[Part]>) -> Self {
        let room = |part: &Part| Room {
            room: part.room.to_string(),
            people: (part.people.iter())
                .map(|person| (person.id.to_string(), person.into()))
                .collect(),
            left: part.left.iter().map(ToString::to_string).collect(),
            guests: part.guests,
        };
        Self {
            from: from.clone(),
            number,
            rooms: parts.map(|parts| parts.iter().map(room).collect()),
        }
    }

    pub(super) fn read(json: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(json)
    }

    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("plain data encodes as JSON")
    }

    /// What changed, where that is told.
    pub(super) fn parts(&self) -> Option<Vec<Part>> {
        let rooms = self.rooms.as_ref()?.iter();
        let parts = rooms.filter_map(|room| {
            let people = room.people.iter();
            Some(Part {
                room: room.room.parse().ok()?,
                people: people.filter_map(|(id, named)| named.person(id)).collect(),
                left: room.left.iter().filter_map(|id| id.parse().ok()).collect(),
                guests: room.guests,
            })
        });
        Some(parts.collect())
    }
}

impl Named {
    fn person(&self, id: &str) -> Option<Person> {
        Some(Person {
            id: id.parse().ok()?,
            name: self.name.parse().ok()?,
            user: self.user.clone(),
        })
    }
}

impl From<&Person> for Named {
    fn from(person: &Person) -> Self {
        Self {
            name: person.name.as_str().to_owned(),
            user: person.user.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part() -> Part {
        let person = |name: &str, user: Option<&str>| Person {
            id: format!("{:x}", name.len()).parse().unwrap(),
            name: name.parse().unwrap(),
            user: user.map(|user| user.parse().unwrap()),
        };
        Part {
            room: "a room with spaces".parse().unwrap(),
            people: vec![person("ann \"x\" {}", Some("7")), person("bob", None)],
            left: Vec::new(),
            guests: 3,
        }
    }

    #[test]
    fn what_is_kept_reads_as_it_was() {
        let part = part();
        let entries = Entries::of(std::slice::from_ref(&part));
        let mut fields: HashMap<_, _> = entries.set.into_iter().collect();
        fields.insert("number".into(), "7".into());
        fields.insert("x no-peer".into(), "{}".into());
        fields.insert("0123 room\n".into(), "{}".into());
        let mut parts = read(&fields);
        parts.retain(|part| !part.people.is_empty());
        assert_eq!(parts.len(), 1);
        parts[0]
            .people
            .sort_by_key(|person| person.name.as_str() == "bob");
        assert_eq!(parts[0], part);
    }

    #[test]
    fn what_is_published_reads_as_it_was() {
        let mut part = part();
        part.left = vec!["7f".parse().unwrap()];
        let from = serde_json::from_str::<ReplicaId>("\"abcdefgh\"").unwrap();
        let published = Published::new(&from, 4, Some(std::slice::from_ref(&part))).to_json();
        let read = Published::read(published.as_bytes()).unwrap();
        assert_eq!((&read.from, read.number), (&from, 4));
        assert_eq!(read.parts().unwrap(), [part]);
        assert!(Published::new(&from, 5, None).parts().is_none());
    }
}
