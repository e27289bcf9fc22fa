//! Tells a new user by SMTP that there is an account. In the background: a bounded number of mails is under way,
//! each is tried a few times, and what could not be sent is logged. A mail says neither name nor password.

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
};
use tokio::{sync::Semaphore, time::sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use url::Url;

use super::{errors::OpenError, users::without_secrets};
use crate::log_limit::log_limited;

/// Mails that wait or are being sent.
const UNDER_WAY: usize = 256;

/// Connections to the mail server at once.
const SENDING: usize = 4;

/// How often a mail is tried, how long after the first try comes the second, and how much longer each time:
/// 1 s, 8 s, 64 s, 512 s. A server that greylists wants some minutes.
const TRIES: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGER: u32 = 8;

/// How long the mail server may take for one command.
const TIMEOUT: Duration = Duration::from_secs(20);

/// How long a mail that is being sent may go on when the server stops.
const LAST_PATIENCE: Duration = Duration::from_secs(3);

const SUBJECT: &str = "Your account in the chat";
const TEXT: &str = "Welcome to the chat!\n\
    \n\
    An account was registered with this mail address. Log in with the address and the password that the page\n\
    showed at registration. The password is not in this mail, and nobody can look it up.\n\
    \n\
    If it was not you, you need not do anything: without the password nobody learns your address from the chat.\n";

/// A mail server and who sends by it.
#[derive(Clone)]
pub struct Smtp {
    url: Url,
    from: Mailbox,
}

impl Smtp {
    /// From `smtp://` or `smtps://` with host, and user, password, port and `?tls=required` where needed; and the
    /// sender, `chat@host` or `The chat <chat@host>`. Errors do not quote the URL, which may hold a password.
    pub fn new(url: &str, from: &str) -> Result<Self, String> {
        let url = Url::parse(url).map_err(|error| {
            format!("not a URL ({error}): special characters of a user or password must be written as %XX")
        })?;
        if !matches!(url.scheme(), "smtp" | "smtps") || url.host_str().is_none_or(str::is_empty) {
            return Err("not a mail server such as smtps://user:password@mail.example".into());
        }
        if url
            .query_pairs()
            .any(|(name, value)| name != "tls" || !matches!(&*value, "required" | "opportunistic"))
        {
            return Err("has a parameter other than tls=required or tls=opportunistic".into());
        }
        let from = from
            .parse()
            .map_err(|_| format!("{from:?} is no sender such as chat@mail.example"))?;
        Ok(Self { url, from })
    }
}

impl fmt::Display for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&without_secrets(&self.url))
    }
}

impl fmt::Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} from {}", self.from)
    }
}

/// Whether this is a mail address by its syntax. Nothing says that somebody reads it.
pub(super) fn is_address(text: &str) -> bool {
    Address::from_str(text).is_ok()
}

/// Sends registration mails.
pub(super) struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    places: Arc<Semaphore>,
    sending: Arc<Semaphore>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Mailer {
    pub(super) fn new(smtp: &Smtp) -> Result<Self, OpenError> {
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(smtp.url.as_str());
        let transport = transport.map_err(|error| OpenError::Smtp {
            smtp: smtp.to_string(),
            why: error.to_string(),
        })?;
        Ok(Self {
            transport: transport.timeout(Some(TIMEOUT)).build(),
            from: smtp.from.clone(),
            places: Arc::new(Semaphore::new(UNDER_WAY)),
            sending: Arc::new(Semaphore::new(SENDING)),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        })
    }

    /// Sends the mail about a new account, some time. `user` is the number that the log lines name.
    pub(super) fn welcome(&self, user: i64, to: &str) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            log_limited!(
                warn,
                user,
                "registration mail not sent: {UNDER_WAY} others wait"
            );
            return;
        };
        let Some(mail) = self.write(to) else {
            log_limited!(
                warn,
                user,
                "registration mail not sent: the address cannot be written to"
            );
            return;
        };
        let (transport, sending, stop) = (
            self.transport.clone(),
            Arc::clone(&self.sending),
            self.stop.clone(),
        );
        self.tasks.spawn(async move {
            let _place = place;
            send(&transport, &sending, &stop, user, mail).await;
        });
    }

    fn write(&self, to: &str) -> Option<Message> {
        let to = Mailbox::new(None, to.parse().ok()?);
        let mail = Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject(SUBJECT);
        mail.header(ContentType::TEXT_PLAIN)
            .body(TEXT.to_owned())
            .ok()
    }

    /// Gives up what waits for its turn or its next try, and soon what is being sent.
    pub(super) async fn close(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

async fn send(
    transport: &AsyncSmtpTransport<Tokio1Executor>,
    sending: &Semaphore,
    stop: &CancellationToken,
    user: i64,
    mail: Message,
) {
    let given_up = || tracing::warn!(user, "registration mail not sent: the server stops");
    let mut wait = FIRST_WAIT;
    for tries_left in (0..TRIES).rev() {
        let error = {
            let Some(_turn) = stop.run_until_cancelled(sending.acquire()).await else {
                return given_up();
            };
            let late = async {
                stop.cancelled().await;
                sleep(LAST_PATIENCE).await;
            };
            tokio::select! {
                sent = transport.send(mail.clone()) => match sent {
                    Ok(_) => return tracing::debug!(user, "registration mail sent"),
                    Err(error) => error,
                },
                () = late => return given_up(),
            }
        };
        // A refusal's words may quote the address, but nothing here knows a password.
        if error.is_permanent() || tries_left == 0 {
            return tracing::warn!(user, %error, "registration mail not sent");
        }
        tracing::info!(user, %error, again_in = ?wait, "registration mail not sent yet");
        let stopped = stop.run_until_cancelled(sleep(wait)).await.is_none();
        if stopped {
            return given_up();
        }
        wait *= LONGER;
    }
}
