//! A network that can be made bad: TCP through here is cut, held, or refused for a while.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// What happens to connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    Fair,
    /// Those there are end, new ones end at once.
    Cut,
    /// Those there are end; new ones are accepted, and nothing is ever answered.
    Silent,
}

/// A TCP proxy.
pub struct Proxy {
    address: SocketAddr,
    weather: Arc<watch::Sender<Weather>>,
}

impl Proxy {
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let weather = Arc::new(watch::Sender::new(Weather::Fair));
        let changes = weather.clone();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut weather = changes.subscribe();
                let now = *weather.borrow_and_update();
                tokio::spawn(async move {
                    let carry = async {
                        match now {
                            Weather::Fair => {
                                let Ok(mut to) = TcpStream::connect(target).await else {
                                    return;
                                };
                                let _ = stream.set_nodelay(true);
                                let _ = to.set_nodelay(true);
                                let _ = copy_bidirectional(&mut stream, &mut to).await;
                            }
                            Weather::Cut => {}
                            Weather::Silent => std::future::pending().await,
                        }
                    };
                    tokio::select! {
                        () = carry => {}
                        _ = weather.changed() => {}
                    }
                });
            }
        });
        Self { address, weather }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }
}
