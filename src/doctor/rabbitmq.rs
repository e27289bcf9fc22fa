//! The RabbitMQ of an old chat: whether it answers and lets us in, and whether each exchange is as that chat declares it.

use super::finding::Finding;
use crate::{
    bridges::amqp::{self, Found},
    settings::Settings,
};

const SUBJECT: &str = "rabbitmq";

pub(super) async fn look(settings: &Settings) -> Vec<Finding> {
    let (address, buses) = (&settings.bridges.amqp, &settings.bridges.amqp_exchanges);
    let Some(address) = address else {
        return vec![Finding::ok(
            SUBJECT,
            "none named: no old chat is beside this one on a broker".into(),
        )];
    };
    let found = match amqp::survey(address.clone(), buses).await {
        Ok(found) => found,
        Err(why) => {
            let why = why.trim_start_matches(&format!("{address}: "));
            let start_it = "start it, let this machine reach it, or correct --amqp";
            let (why, to_do) = why.split_once("; ").unwrap_or((why, start_it));
            let what = format!("{address} cannot be used: {why}");
            return vec![Finding::bad(SUBJECT, what, capitalized(to_do))];
        }
    };
    let mut findings = vec![Finding::ok(
        SUBJECT,
        format!("{address} answers and lets us in"),
    )];
    findings.extend(buses.iter().zip(found).map(|(bus, found)| {
        let name = bus.name();
        match found {
            Found::There => Finding::ok(SUBJECT, format!("exchange {name} is there, as the old chat declares it")),
            Found::Missing => Finding::warn(
                SUBJECT,
                format!("exchange {name} is not there: no old server is on this broker, and it will be made"),
                "If one should be: start it with its bus on (chat-scaling: SCALABLE=1; talk: in its code), compare host and virtual host",
            ),
            Found::Unfit(why) => {
                let (why, to_do) = why.split_once("; ").unwrap_or((&why, ""));
                let what = format!("exchange {name} cannot be used: {why}");
                Finding::bad(SUBJECT, what, capitalized(to_do))
            }
        }
    }));
    findings
}

fn capitalized(text: &str) -> String {
    let mut rest = text.chars();
    let first = rest.next().into_iter().flat_map(char::to_uppercase);
    first.chain(rest.as_str().chars()).collect()
}
