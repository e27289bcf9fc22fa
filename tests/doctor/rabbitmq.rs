//! A RabbitMQ as old servers leave it, and one that is not as it must be.

use lapin::{
    Connection, ConnectionProperties, ExchangeKind, options::ExchangeDeclareOptions,
    types::FieldTable,
};

use crate::{asked::SetUp, harness::rabbit::RabbitServer};

/// Declares an exchange as somebody did who is still connected.
async fn declared(url: &str, name: &str, kind: ExchangeKind, auto_delete: bool) -> Connection {
    let connection = Connection::connect(url, ConnectionProperties::default());
    let connection = connection.await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let options = ExchangeDeclareOptions {
        auto_delete,
        ..Default::default()
    };
    let declared = channel.exchange_declare(name.into(), kind, options, FieldTable::default());
    declared.await.unwrap();
    connection
}

fn on(url: &str, exchange: &str) -> SetUp {
    SetUp::right()
        .with_variable("HANDSHAKEN_AMQP", url)
        .with(&["--amqp-exchange", exchange])
}

#[tokio::test]
async fn each_exchange_is_told_as_it_is_and_none_is_made() {
    let broker = RabbitServer::start();

    // As the old chats declare them.
    let right = broker.place();
    let _old = (
        declared(&right.url(), "messages", ExchangeKind::Fanout, false).await,
        declared(&right.url(), "chatExchange", ExchangeKind::Fanout, true).await,
    );
    let said = on(&right.url(), "messages,chatExchange").ask();
    assert_eq!(said.code, 0, "{:#?}", said.lines);
    said.has_none("warn");
    said.says(
        "ok",
        "rabbitmq",
        &["amqp://127.0.0.1:", "answers and lets us in"],
    );
    for exchange in ["messages", "chatExchange"] {
        said.says(
            "ok",
            "rabbitmq",
            &[exchange, "is there, as the old chat declares it"],
        );
    }
    // On Cloud Foundry.
    let services = format!(
        r#"{{"rabbitmq-2.4": [{{"credentials": {{"url": "{}"}}}}]}}"#,
        right.url()
    );
    let said = SetUp::right()
        .with_variable("VCAP_SERVICES", &services)
        .with(&["--amqp-exchange", "messages"])
        .ask();
    said.says("ok", "rabbitmq", &["exchange messages is there"]);

    // Nobody is on it.
    let empty = broker.place();
    let said = on(&empty.url(), "messages").ask();
    assert_eq!(said.code, 0);
    said.says(
        "warn",
        "rabbitmq",
        &["exchange messages is not there", "SCALABLE=1"],
    );
    let exchanges = broker.ctl(&["list_exchanges", "-p", &empty.vhost, "name"]);
    assert!(!exchanges.contains("messages"), "{exchanges}");

    // Somebody declared them otherwise.
    let wrong = broker.place();
    let _other = (
        declared(&wrong.url(), "messages", ExchangeKind::Topic, false).await,
        declared(&wrong.url(), "chatExchange", ExchangeKind::Fanout, false).await,
    );
    let said = on(&wrong.url(), "messages,chatExchange").ask();
    said.is_wrong(
        "rabbitmq",
        &[
            "exchange messages cannot be used",
            "Exchange messages has to be fanout, not durable, not auto-delete",
            "delete it",
        ],
    );
    said.is_wrong(
        "rabbitmq",
        &["Exchange chatExchange has to be fanout, not durable, auto-delete"],
    );

    // It does not let us in.
    let url = right.url().replace("guest:guest", "guest:s3cret");
    let said = on(&url, "messages").ask();
    said.is_wrong(
        "rabbitmq",
        &[
            "cannot be used",
            "Check user, password and virtual host in --amqp",
        ],
    );
    assert!(!said.lines.join("\n").contains("s3cret"));

    let said = on("amqp://guest:s3cret@127.0.0.1:1", "messages").ask();
    said.is_wrong(
        "rabbitmq",
        &["127.0.0.1:1", "Connection refused", "correct --amqp"],
    );
    assert!(!said.lines.join("\n").contains("s3cret"));
}
