//! Settings of bridges: other chat servers' buses, and which of them to be on.

use clap::Args;

use super::{
    unshown::{self, Unshown},
    vcap::{self, Services},
};
use crate::bridges::amqp::{Address, Bus, InvalidAddress};

/// The buses of other chat servers.
#[derive(Clone, Debug, Args)]
pub struct Bridges {
    /// RabbitMQ of an old chat beside which this server runs: amqp://user:password@host:5672/vhost,
    /// amqps:// with TLS [default: none, or what VCAP_SERVICES names, where --amqp-exchange is given]
    #[arg(
        long = "amqp",
        value_name = "URL",
        env = "HANDSHAKEN_AMQP",
        hide_env_values = true,
        value_parser = unshown::judged_later::<Address>
    )]
    given_amqp: Option<Unshown<Result<Address, InvalidAddress>>>,

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

impl Bridges {
    pub(super) fn check_together(&mut self, services: &Services, mistakes: &mut Vec<String>) {
        // A broker among the services may be there for others: it counts where an exchange is named.
        let named = match (&self.given_amqp, self.amqp_exchanges.is_empty()) {
            (Some(Unshown(address)), is_empty) => {
                if is_empty {
                    let names = Bus::ALL.map(Bus::name).join(", ");
                    mistakes.push(format!(
                        "--amqp: say which exchanges are the old chat's with --amqp-exchange: {names}"
                    ));
                }
                Some(("--amqp:".to_owned(), address.clone()))
            }
            (None, true) => None,
            (None, false) => match services.find(&vcap::RABBITMQ) {
                Ok(Some(found)) => Some((found.source(), found.url.0.parse())),
                Ok(None) => {
                    mistakes.push("--amqp-exchange: say where the RabbitMQ is with --amqp".into());
                    None
                }
                Err(mistake) => {
                    mistakes.push(mistake);
                    None
                }
            },
        };
        match named {
            Some((_, Ok(address))) => self.amqp = Some(address),
            Some((source, Err(mistake))) => mistakes.push(format!("{source} {mistake}")),
            None => {}
        }
        let mut named = Vec::new();
        self.amqp_exchanges.retain(|bus| {
            let is_new = !named.contains(bus);
            named.push(*bus);
            is_new
        });
    }
}
