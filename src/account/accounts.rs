//! Registers and logs in: checks what was given, has a place for its hash or says that it is busy, counts it as an
//! attempt, asks the table, hashes. In that order, so that what is refused costs nothing.

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use parking_lot::Mutex;

use super::{
    attempts::{Attempts, Network, Refused},
    errors::{LoginError, OpenError, RegisterError, UnfitName},
    mail::{self, Mailer},
    names::is_reserved,
    options::{Limits, Options},
    passwords::{self, HashError, Passwords, Verdict},
    places::Places,
    shared::{Limited, Shared},
    turns::Place,
    user::{Registered, User, UserId},
    users::{self, DatabaseError, DatabaseUrl, Finished, Hashes, Kept, Key, NotAdded, Users},
};
use crate::chat::message::AuthorName;
use crate::log_limit::log_limited;

/// The longest mail address, in bytes (RFC 5321, and its erratum 1690).
const MAIL_MAX: usize = 254;

/// The longest mail address that a row of another program's may have, in characters.
const OLD_MAIL_MAX: usize = 255;

/// Right logins of one account within the time for which wrong ones are counted. On each replica: it is a matter of its
/// cores, and of nobody's password.
const RIGHT_LOGINS: u32 = 60;

/// Time for which registrations of an address are counted.
const REGISTRATION_WINDOW: Duration = Duration::from_secs(3600);

/// Whoever can register and log in.
pub struct Accounts {
    users: Users,
    passwords: Passwords,
    limits: Limits,
    logins: Limited<Counted>,
    right: Attempts<Key>,
    registrations: Limited<Network>,
    places: Mutex<Places>,
    shared: Option<Arc<Shared>>,
    mailer: Option<Mailer>,
}

/// What failed logins are counted by.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Counted {
    Address(Network),
    Account(Key),
    /// An account, tried from where it has been logged in before. Counted apart, so that nobody who guesses from
    /// elsewhere keeps its owner out.
    AtHome(Key, Network),
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(network) => write!(f, "address {network}"),
            Self::Account(account) => write!(f, "account {}", account.as_str()),
            Self::AtHome(account, network) => write!(f, "home {} {network}", account.as_str()),
        }
    }
}

impl Accounts {
    /// Connects to the database, and makes its table or takes over the old chat's. Several replicas may do so at once.
    pub async fn open(options: Options) -> Result<Self, OpenError> {
        let mailer = options.smtp.as_ref().map(Mailer::new).transpose()?;
        let users = Users::open(&options.database, options.connections.get()).await?;
        if users.is_shared() {
            tracing::warn!(
                "the users' table is shared with the old chat: every password is kept as SHA-1 too, until --finish-migration is run"
            );
        }
        Ok(Self {
            users,
            passwords: Passwords::new(options.hashes_at_once),
            limits: options.limits,
            logins: Limited::new("logins", options.limits.failure_window),
            right: Attempts::new(options.limits.failure_window),
            registrations: Limited::new("registrations", REGISTRATION_WINDOW),
            places: Mutex::default(),
            shared: None,
            mailer,
        })
    }

    /// The same, with limits and places that all replicas have in common.
    pub fn share(mut self, shared: Arc<Shared>) -> Self {
        self.logins.share(shared.clone());
        self.registrations.share(shared.clone());
        self.shared = Some(shared);
        self
    }

    /// Ends the sharing of the users' table with the old chat, which can log nobody in from then on.
    pub async fn finish_migration(database: &DatabaseUrl) -> Result<Finished, OpenError> {
        users::finish(database).await
    }

    /// Makes an account for a name and a mail address, with a new password.
    pub async fn register(
        &self,
        name: &str,
        mail: &str,
        from: IpAddr,
    ) -> Result<Registered, RegisterError> {
        let (name, mail) = (name.trim(), mail.trim());
        if name.is_empty() || mail.is_empty() {
            return Err(RegisterError::Missing);
        }
        let author: AuthorName = name.parse().map_err(UnfitName::from)?;
        if is_reserved(&author) {
            return Err(UnfitName::Reserved.into());
        }
        let name = author.as_str();
        if mail.len() > MAIL_MAX || !mail::is_address(mail) {
            return Err(RegisterError::InvalidMail);
        }
        let network = Network::from(from);
        let place = self.passwords.place(network, &Key::of(mail));
        let place = place.ok_or(RegisterError::Busy)?;
        let attempt = self
            .registrations
            .begin([(network, self.limits.registrations.get())])
            .await;
        let attempt = attempt.map_err(|refused| match refused {
            Refused::TooMany(retry_after) => RegisterError::TooMany { retry_after },
            Refused::TooManyAtOnce => RegisterError::Busy,
        })?;
        let made = self.make(place, name, mail).await;
        match made {
            Err(RegisterError::Busy | RegisterError::Database(_)) => attempt.forgive().await,
            // It counts, whether the name was free or not: names can be guessed, too.
            _ => attempt.fail().await,
        }
        let registered = made?;
        self.is_at_home(Key::of(mail), network).await;
        if let Some(mailer) = &self.mailer {
            mailer.welcome(registered.user.id.0, mail);
        }
        Ok(registered)
    }

    /// Makes the account, if name and mail are free.
    async fn make(
        &self,
        place: Place,
        name: &str,
        mail: &str,
    ) -> Result<Registered, RegisterError> {
        // Asked first, because it is cheaper than a hash; the database decides in the end.
        let is_taken = self.users.name_is_taken(name).await;
        if is_taken.map_err(RegisterError::Database)? {
            return Err(RegisterError::NameTaken(name.into()));
        }
        if self
            .users
            .by_mail(mail)
            .await
            .map_err(RegisterError::Database)?
            .is_some()
        {
            return Err(RegisterError::MailTaken(mail.into()));
        }
        let password = passwords::generate()
            .map_err(no_hash)
            .map_err(|()| RegisterError::Busy)?;
        let hash = self.passwords.hash(place, password.clone()).await;
        let hash = hash.map_err(no_hash).map_err(|()| RegisterError::Busy)?;
        let hashes = Hashes {
            argon2id: &hash,
            sha1: &passwords::old_form(&password),
        };
        let id = match self.users.add(name, mail, &hashes).await {
            Ok(id) => id,
            Err(NotAdded::NameTaken) => return Err(RegisterError::NameTaken(name.into())),
            Err(NotAdded::MailTaken) => return Err(RegisterError::MailTaken(mail.into())),
            Err(NotAdded::Unkept) => return Err(UnfitName::Unkept.into()),
            Err(NotAdded::Database(error)) => return Err(RegisterError::Database(error)),
        };
        let user = User {
            id: UserId(id),
            name: name.into(),
            mail: mail.into(),
        };
        Ok(Registered { user, password })
    }

    /// Whose mail address and password these are. An unknown address and a wrong password are one answer, after the
    /// same work.
    pub async fn login(
        &self,
        mail: &str,
        password: &str,
        from: IpAddr,
    ) -> Result<User, LoginError> {
        // Longer than any address: as unknown as the whole.
        let mail: String = mail.trim().chars().take(OLD_MAIL_MAX + 1).collect();
        let mail = mail.as_str();
        if mail.is_empty() || password.is_empty() {
            return Err(LoginError::Missing);
        }
        let (account, network) = (Key::of(mail), Network::from(from));
        let place = self.passwords.place(network, &account);
        let place = place.ok_or(LoginError::Busy)?;
        // Right ones cost as much as wrong ones.
        let right = (self.right.begin([(account.clone(), RIGHT_LOGINS)])).map_err(wait)?;
        let counted = if self.knows_at_home(&account, network).await {
            Counted::AtHome(account.clone(), network)
        } else {
            Counted::Account(account.clone())
        };
        let attempt = self.logins.begin([
            (counted, self.limits.account_failures.get()),
            (
                Counted::Address(network),
                self.limits.address_failures.get(),
            ),
        ]);
        let attempt = match attempt.await {
            Ok(attempt) => attempt,
            Err(refused) => {
                right.forgive();
                return Err(wait(refused));
            }
        };
        let checked = self.check(place, mail, password).await;
        if checked.is_err() {
            right.forgive();
        }
        match checked {
            Ok(_) => {
                attempt.forgive().await;
                self.is_at_home(account, network).await;
            }
            Err(LoginError::Busy | LoginError::Database(_)) => attempt.forgive().await,
            Err(_) => attempt.fail().await,
        }
        checked
    }

    /// Whose they are, whatever was tried before.
    async fn check(&self, place: Place, mail: &str, password: &str) -> Result<User, LoginError> {
        let row = if can_be_stored(mail) {
            let row = self.users.by_mail(mail).await;
            row.map_err(LoginError::Database)?
        } else {
            None
        };
        let stored = row.as_ref().and_then(|row| row.pass.clone());
        // Longer than any password: no need to keep so much until its turn comes.
        let given: String = password.chars().take(passwords::PASSWORD_MAX + 1).collect();
        let verdict = self.passwords.check(place, given, stored.clone()).await;
        let verdict = verdict.map_err(no_hash).map_err(|()| LoginError::Busy)?;
        let (Some(row), Some(stored)) = (row, stored) else {
            return Err(LoginError::Wrong);
        };
        match verdict {
            Verdict::Right => {}
            Verdict::RightButOld { better } => self.keep_better(row.id, &stored, &better).await,
            Verdict::Wrong => return Err(LoginError::Wrong),
            Verdict::Unreadable => {
                log_limited!(
                    warn,
                    user = row.id,
                    "what is stored as this user's password is no hash: it cannot log in"
                );
                return Err(LoginError::Wrong);
            }
        }
        Ok(User {
            id: UserId(row.id),
            name: row.name.unwrap_or_default(),
            mail: row.mail.unwrap_or_default(),
        })
    }

    /// Whether an account has been logged in from there, here or on another replica.
    async fn knows_at_home(&self, account: &Key, network: Network) -> bool {
        self.places.lock().has(account, network)
            || match &self.shared {
                Some(shared) => shared.has(&Counted::AtHome(account.clone(), network)).await,
                None => false,
            }
    }

    async fn is_at_home(&self, account: Key, network: Network) {
        if let Some(shared) = &self.shared {
            shared.add(&Counted::AtHome(account.clone(), network)).await;
        }
        self.places.lock().add(account, network);
    }

    /// Whether an account has this name, or one that looks like it.
    pub(super) async fn has_name(&self, name: &AuthorName) -> Result<bool, DatabaseError> {
        self.users.name_is_taken(name.as_str()).await
    }

    /// How many passwords were hashed since the start, for whatever reason.
    pub fn hashed(&self) -> u64 {
        self.passwords.hashed()
    }

    /// Waits for calls that are under way, and a moment for mails that are being sent. Mails that wait are given up.
    pub async fn close(&self) {
        if let Some(mailer) = &self.mailer {
            mailer.close().await;
        }
        self.users.close().await;
    }

    /// A login is right whether or not this works: the next one tries again.
    async fn keep_better(&self, user: i64, old: &str, better: &str) {
        match self.users.keep_better(user, old, better).await {
            Ok(Kept::InPlace) => {
                tracing::info!(user, "password of the old chat is kept as Argon2id now");
            }
            Ok(Kept::Beside) => {
                tracing::debug!(user, "password stays readable for the old chat");
            }
            Ok(Kept::Not) => {
                tracing::info!(user, "password was changed meanwhile, and stays as it is")
            }
            Err(error) => {
                log_limited!(warn, user, %error, "password stays as the old chat kept it")
            }
        }
    }
}

/// Anything else is no row's, and some databases refuse to be asked for it.
fn can_be_stored(mail: &str) -> bool {
    mail.chars().nth(OLD_MAIL_MAX).is_none() && !mail.contains(char::is_control)
}

fn wait(refused: Refused) -> LoginError {
    match refused {
        Refused::TooMany(retry_after) => LoginError::TooMany { retry_after },
        Refused::TooManyAtOnce => LoginError::Busy,
    }
}

fn no_hash(error: HashError) {
    log_limited!(error, %error, "registration or login refused as busy");
}
