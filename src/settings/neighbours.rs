//! Settings of neighbours: other chat servers' buses, and which of them to be on.

use std::{convert::Infallible, str::FromStr};

use clap::Args;

use super::vcap::{RABBITMQ, Services};
use crate::neighbour::amqp::{Address, Bus, InvalidAddress};

/// The buses of other chat servers.
#[derive(Clone, Debug, Args)]
pub struct Neighbours {
    /// RabbitMQ of an old chat beside which this server runs: amqp://user:password@host:5672/vhost,
    /// amqps:// with TLS [default: none, or what VCAP_SERVICES names]
    #[arg(
        long = "amqp",
        value_name = "URL",
        env = "HANDSHAKEN_AMQP",
        hide_env_values = true,
        value_parser = |url: &str| Ok::<_, Infallible>(Given(url.parse()))
    )]
    given_amqp: Option<Given>,

    /// Exchange of the old chat there: messages (talk, chat-scaling), direct_logs (kschat),
    /// chatExchange (AMQPChat, rabbitpubsub); may be given several times [default: none]
    #[arg(
        long = "amqp-exchange",
        value_name = "NAME",
        env = "HANDSHAKEN_AMQP_EXCHANGE",
        value_delimiter = ','
    )]
    pub amqp_exchanges: Vec<Bus>,

    /// Where the RabbitMQ is, if there is one.
    #[arg(skip)]
    pub amqp: Option<Address>,
}

/// What `--amqp` was given. Judged later: clap would repeat a wrong value, password and all.
#[derive(Clone, Debug)]
struct Given(Result<Address, InvalidAddress>);

impl Neighbours {
    pub(super) fn check_together(&mut self, services: &Services, mistakes: &mut Vec<String>) {
        let names = Bus::ALL.map(Bus::name).join(", ");
        let named = match (&self.given_amqp, self.amqp_exchanges.is_empty()) {
            (Some(_), true) => {
                mistakes.push(format!(
                    "--amqp: say which exchanges are the old chat's with --amqp-exchange: {names}"
                ));
                return;
            }
            // A service may be there for another program.
            (None, true) => return,
            (Some(Given(address)), false) => Ok(Some(("--amqp:".to_owned(), address.clone()))),
            (None, false) => services
                .find(&RABBITMQ)
                .map(|found| found.map(|found| (found.source(), Address::from_str(&found.url.0)))),
        };
        match named {
            Ok(Some((_, Ok(address)))) => self.amqp = Some(address),
            Ok(Some((source, Err(mistake)))) => mistakes.push(format!("{source} {mistake}")),
            Ok(None) => {
                mistakes.push("--amqp-exchange: say where the RabbitMQ is with --amqp".into());
            }
            Err(mistake) => mistakes.push(mistake),
        }
        let mut named = Vec::new();
        self.amqp_exchanges.retain(|bus| {
            let is_new = !named.contains(bus);
            named.push(*bus);
            is_new
        });
    }
}
