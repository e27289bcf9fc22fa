//! nginx before the measured servers, as operators have it.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context, Result};

use crate::outside::{START_LIMIT, free_addresses, says, wait_for};
use crate::scenario::Stage;
use crate::server::Server;

/// One process, so that nothing of it is left when that is killed.
const SETTINGS: &str = "daemon off; master_process off; error_log /dev/null; pid nginx.pid;
events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 1000000; proxy_buffering off;
  client_body_temp_path a; proxy_temp_path b; fastcgi_temp_path c; uwsgi_temp_path d; scgi_temp_path e;
  proxy_http_version 1.1; proxy_set_header Connection '';
  SERVERS
}";

/// A running balancer; dropping it kills it.
pub struct Balancer {
    _nginx: Server,
    /// One for each group, in their order.
    pub listeners: Vec<SocketAddr>,
}

impl Balancer {
    /// Each request that comes to the listener of a group goes to the next server of the group. A group of one is what
    /// a sticky balancer is for a client.
    pub fn start(groups: &[&[SocketAddr]], stage: &Stage) -> Result<Self> {
        let listeners = free_addresses(groups.len())?;
        let mut servers = String::new();
        for (n, (group, listener)) in groups.iter().zip(&listeners).enumerate() {
            let replicas: String = group.iter().map(|it| format!("server {it}; ")).collect();
            servers += &format!("upstream group_{n} {{ {replicas} keepalive 64; }}\n");
            servers += &format!(
                "server {{ listen {listener}; location / {{ proxy_pass http://group_{n}; }} }}\n"
            );
        }
        let settings = SETTINGS.replace("SERVERS", &servers);
        let nginx = Server::spawn_in(listeners[0], &stage.programs, &stage.cores, |folder| {
            fs::write(folder.join("nginx.conf"), settings)
                .context("cannot write nginx' settings")?;
            let mut command = Command::new("nginx");
            command.arg("-p").arg(folder).args(["-c", "nginx.conf"]);
            Ok(command)
        })
        .context("nginx: apt-get install nginx-light")?;
        for listener in &listeners {
            wait_for(START_LIMIT, "nginx does not answer", || {
                let ask = "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
                says(*listener, ask, " 200 ")
            })?;
        }
        Ok(Self {
            _nginx: nginx,
            listeners,
        })
    }
}
