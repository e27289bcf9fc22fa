//! Where a key set comes from: a file, or an address that is asked over HTTP.

use std::{
    fmt, fs,
    io::{self, Read},
    net::IpAddr,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use rustls::crypto::ring;

/// The largest key set, bytes.
const LARGEST: usize = 256 * 1024;

/// How long an answer may take, all of it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where a key set is.
#[derive(Clone, PartialEq, Eq)]
pub enum JwksSource {
    File(PathBuf),
    Url(Uri),
}

/// Why a text names none. Does not repeat the text: an address may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidSource(&'static str);

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum SourceError {
    #[error("cannot read it")]
    File(#[source] io::Error),
    #[error("there is no answer: is the address right, and can it be reached from here?")]
    NoAnswer(#[source] hyper_util::client::legacy::Error),
    #[error("the certificates of this machine cannot be read")]
    Certificates(#[source] io::Error),
    #[error("it answers with {0}")]
    Status(http::StatusCode),
    #[error("it is more than {LARGEST} bytes")]
    Large,
    #[error("it is more than {LARGEST} bytes, or breaks off")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("it took longer than {PATIENCE:?}")]
    Late,
}

impl JwksSource {
    /// Where it is a file, what is in it.
    pub(super) fn read_file(&self) -> Option<Result<Vec<u8>, SourceError>> {
        match self {
            Self::File(path) => Some(read(path)),
            Self::Url(_) => None,
        }
    }

    /// Whether others on the way could change it.
    pub(super) fn is_in_clear(&self) -> bool {
        match self {
            Self::File(_) => false,
            Self::Url(url) => {
                let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
                let address: Option<IpAddr> = host.parse().ok();
                let is_here = host == "localhost" || address.is_some_and(|it| it.is_loopback());
                url.scheme_str() == Some("http") && !is_here
            }
        }
    }

    pub(super) async fn fetch(&self) -> Result<Vec<u8>, SourceError> {
        match self {
            Self::File(path) => {
                let path = path.clone();
                let reading = tokio::task::spawn_blocking(move || read(&path));
                let stopped = |error| SourceError::File(io::Error::other(error));
                reading.await.map_err(stopped)?
            }
            Self::Url(url) => tokio::time::timeout(PATIENCE, ask(url))
                .await
                .unwrap_or(Err(SourceError::Late)),
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, SourceError> {
    let mut set = Vec::new();
    let file = fs::File::open(path).map_err(SourceError::File)?;
    let most = LARGEST as u64 + 1;
    (file.take(most).read_to_end(&mut set)).map_err(SourceError::File)?;
    if set.len() > LARGEST {
        return Err(SourceError::Large);
    }
    Ok(set)
}

/// One request. Nobody is sent on: who may sign is said by the address in the settings alone.
async fn ask(url: &Uri) -> Result<Vec<u8>, SourceError> {
    let connector = HttpsConnectorBuilder::new()
        .with_provider_and_native_roots(ring::default_provider())
        .map_err(SourceError::Certificates)?
        .https_or_http()
        .enable_http1()
        .build();
    let client = Client::builder(TokioExecutor::new()).build(connector);
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = url.clone();
    let accepted = header::HeaderValue::from_static("application/json");
    request.headers_mut().insert(header::ACCEPT, accepted);
    let answer = client
        .request(request)
        .await
        .map_err(SourceError::NoAnswer)?;
    if !answer.status().is_success() {
        return Err(SourceError::Status(answer.status()));
    }
    let body = Limited::new(answer.into_body(), LARGEST).collect().await;
    Ok(body.map_err(SourceError::Body)?.to_bytes().into())
}

impl FromStr for JwksSource {
    type Err = InvalidSource;

    fn from_str(text: &str) -> Result<Self, InvalidSource> {
        if text.is_empty() {
            return Err(InvalidSource("neither a file nor an address"));
        }
        if !text.contains("://") {
            return Ok(Self::File(text.into()));
        }
        let url: Uri = text.parse().map_err(|_| InvalidSource("not an address"))?;
        if !matches!(url.scheme_str(), Some("http" | "https")) {
            return Err(InvalidSource("not an address of http or https"));
        }
        if url
            .authority()
            .is_none_or(|authority| authority.as_str().contains('@'))
        {
            return Err(InvalidSource(
                "an address without a host, or with a password in it",
            ));
        }
        Ok(Self::Url(url))
    }
}

/// Without what a query may hold.
impl fmt::Display for JwksSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Url(url) => {
                let host = url.authority().map_or("", |authority| authority.as_str());
                write!(
                    f,
                    "{}://{host}{}",
                    url.scheme_str().unwrap_or_default(),
                    url.path()
                )
            }
        }
    }
}

impl fmt::Debug for JwksSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[test]
    fn plain_http_to_other_machines_is_in_clear() {
        for (source, expected) in [
            ("keys.json", false),
            ("https://a.example/keys", false),
            ("http://localhost:1/keys", false),
            ("http://127.0.0.2/keys", false),
            ("http://[::1]:1/keys", false),
            ("http://a.example/keys", true),
            ("http://10.0.0.1/keys", true),
            ("http://localhost.example/", true),
        ] {
            let source: JwksSource = source.parse().unwrap();
            assert_eq!(source.is_in_clear(), expected, "{source}");
        }
    }

    #[test]
    fn a_query_or_password_is_not_shown() {
        let source: JwksSource = "https://a:1/k?secret=x#y".parse().unwrap();
        assert_eq!(source.to_string(), "https://a:1/k");
        assert_eq!(format!("{source:?}"), "https://a:1/k");
        assert!("https://user:pass@a/".parse::<JwksSource>().is_err());
    }

    /// What a server does when it has answered.
    #[derive(Clone)]
    enum Then {
        Closes,
        Waits,
        /// Sends this for as long as it is taken.
        Goes(String),
    }

    /// A server that answers each request with these bytes.
    async fn server(answer: String, then: Then) -> JwksSource {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let source = format!("http://{}/keys", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.read(&mut [0; 1024]).await;
                let _ = stream.write_all(answer.as_bytes()).await;
                match &then {
                    Then::Closes => {}
                    Then::Waits => std::future::pending().await,
                    Then::Goes(more) => while stream.write_all(more.as_bytes()).await.is_ok() {},
                }
            }
        });
        source.parse().unwrap()
    }

    fn ok(headers: &str, body: &str) -> String {
        format!("HTTP/1.1 200 OK\r\n{headers}\r\n{body}")
    }

    #[tokio::test]
    async fn nobody_is_sent_on_to_another_address() {
        let inside = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        inside.set_nonblocking(true).unwrap();
        let there = inside.local_addr().unwrap();
        for status in ["301 Moved", "302 Found", "307 Redirect", "308 Redirect"] {
            let answer = format!(
                "HTTP/1.1 {status}\r\nLocation: http://{there}/\r\nContent-Length: 0\r\n\r\n"
            );
            let fetched = server(answer, Then::Closes).await.fetch().await;
            assert!(
                matches!(fetched, Err(SourceError::Status(_))),
                "{fetched:?}"
            );
        }
        let came = inside.accept().map(drop).map_err(|error| error.kind());
        assert_eq!(came, Err(io::ErrorKind::WouldBlock));
    }

    #[tokio::test]
    async fn what_is_huge_is_given_up_before_it_is_read() {
        let some = "x".repeat(0x10000);
        let chunk = format!("10000\r\n{some}\r\n");
        for (head, more) in [
            (ok("Transfer-Encoding: chunked\r\n", ""), chunk),
            (ok("Content-Length: 1000000000000\r\n", ""), some),
            ("HTTP/1.1 200 OK\r\n".into(), "X-Header: x\r\n".repeat(1000)),
        ] {
            let fetched = server(head, Then::Goes(more)).await.fetch().await;
            assert!(
                matches!(
                    fetched,
                    Err(SourceError::Body(_) | SourceError::NoAnswer(_))
                ),
                "{fetched:?}"
            );
        }
        let endless = JwksSource::File("/dev/zero".into());
        for fetched in [endless.fetch().await, endless.read_file().unwrap()] {
            assert!(matches!(fetched, Err(SourceError::Large)), "{fetched:?}");
        }
    }

    // Time passes as soon as nothing else happens.
    #[tokio::test(start_paused = true)]
    async fn what_is_slow_is_given_up() {
        let half = ok("Content-Length: 100\r\n", "half of it");
        for answer in [String::new(), half] {
            let source = server(answer, Then::Waits).await;
            let begun = tokio::time::Instant::now();
            let fetched = source.fetch().await;
            assert!(matches!(fetched, Err(SourceError::Late)), "{fetched:?}");
            assert!(begun.elapsed() <= PATIENCE + Duration::from_secs(1));
        }
    }
}
