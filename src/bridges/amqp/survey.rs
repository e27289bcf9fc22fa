//! What is on a broker, for whoever checks a set-up before it is used. Declares nothing that is not there.

use super::{Address, Bus, broker::Broker};

/// How it stands with an exchange.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// As the old chat declares it.
    There,
    /// Nobody has declared it.
    Missing,
    /// Not to be used by us; why, and what to do.
    Unfit(String),
}

/// Looks at the exchanges of these buses. The error says why the broker cannot be used.
pub async fn survey(address: Address, buses: &[Bus]) -> Result<Vec<Found>, String> {
    let broker = Broker::new(address);
    let connection = broker.connect("doctor").await;
    let connection = connection.map_err(|trouble| trouble.to_string())?;
    let mut found = Vec::new();
    for bus in buses {
        found.push(match bus.exchange().look(&connection).await {
            Ok(true) => Found::There,
            Ok(false) => Found::Missing,
            Err(trouble) => Found::Unfit(trouble.to_string()),
        });
    }
    // It has nothing to lose.
    let _ = connection.close(200, "".into()).await;
    Ok(found)
}
