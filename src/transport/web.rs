//! Pages over HTTP: our own page or the operator's folder, the browser libraries, the Socket.IO client
//! bundles, `/health`. All that is not an operator's file is embedded in the binary (`embedded`); `folder` serves
//! the operator's, `compressed` compresses both. The rest of `/socket.io/` belongs to the Socket.IO transports.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use clap::ValueEnum;
use http::header::{ALLOW, CACHE_CONTROL, LOCATION, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};

use self::embedded::{LIBRARY, REVALIDATE};
use self::folder::Folder;

mod compressed;
mod embedded;
mod folder;
pub mod forms;
pub mod index;
pub mod kschat;
mod representation;
pub mod views;
pub mod visit;

/// What the web transport serves.
#[derive(Clone, Debug, Default)]
pub struct Web {
    /// The folder of pages; our own, embedded pages when absent.
    pub public: Option<PathBuf>,
    /// For how long browsers may keep what is in that folder, pages apart.
    pub public_max_age: Duration,
    /// Which client library `/socket.io/socket.io.js` is.
    pub client: ClientGeneration,
    /// Whether the client libraries have pages that reconnect ask for what they missed.
    pub catch_up: bool,
}

/// A major version of the Socket.IO client library, as pages ask for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, ValueEnum)]
pub enum ClientGeneration {
    #[value(name = "0.9")]
    V0_9,
    #[value(name = "1")]
    V1,
    #[value(name = "2")]
    V2,
    #[value(name = "3")]
    V3,
    #[default]
    #[value(name = "4")]
    V4,
}

/// The routes of the web transport. Its fallback answers for every path that nobody else routes.
pub fn router(web: Web) -> Router {
    let pages = Arc::new(Pages {
        folder: (web.public).map(|root| Folder::new(root, web.public_max_age)),
    });
    let mut router = Router::new();
    for generation in ClientGeneration::value_variants().iter().copied() {
        for name in embedded::bundle_names(generation) {
            let serve = |cache_control: HeaderValue| {
                let name = name.clone();
                get(async move |headers: HeaderMap| {
                    bundle(generation, &name, web.catch_up, cache_control, &headers)
                })
            };
            if generation == web.client {
                // The setting may change what is behind this address.
                router = router.route(&format!("/socket.io/{name}"), serve(REVALIDATE));
            }
            router = router.route(&format!("/socket.io/{generation}/{name}"), serve(LIBRARY));
        }
    }
    representation::negotiated(router.fallback(page))
        .route("/health", get(health))
        .with_state(pages)
}

struct Pages {
    folder: Option<Folder>,
}

async fn health() -> impl IntoResponse {
    [(CACHE_CONTROL, "no-store")]
}

fn bundle(
    generation: ClientGeneration,
    name: &str,
    catches_up: bool,
    cache_control: HeaderValue,
    request: &HeaderMap,
) -> Response {
    match embedded::bundle(generation, name, catches_up, cache_control) {
        Some(asset) => asset.respond(request),
        None => not_found(
            "this build lacks the Socket.IO client libraries: run `npm ci`, then build again\n",
        ),
    }
}

/// Answers with the page's file at the path, or at the path without `/public`.
async fn page(State(pages): State<Arc<Pages>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    if !matches!(parts.method, Method::GET | Method::HEAD) {
        return (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "GET,HEAD")]).into_response();
    }
    // `//host` in a redirect would lead to another site.
    if parts.uri.path().starts_with("//") {
        return not_found("not found\n");
    }
    let stripped = without_public(&parts.uri);
    for uri in std::iter::once(&parts.uri).chain(&stripped) {
        let found = match &pages.folder {
            Some(folder) => match folder.respond(&parts, uri).await {
                None => embedded::library(uri.path()).map(|asset| asset.respond(&parts.headers)),
                found => found,
            },
            None => own_page(&parts, uri),
        };
        if let Some(response) = found {
            return response;
        }
    }
    if pages.folder.is_none() && matches!(parts.uri.path(), "/" | "/index.html") {
        return not_found(
            "this build has no page of its own: start with --public DIR to serve one\n",
        );
    }
    not_found("not found\n")
}

fn own_page(parts: &Parts, uri: &Uri) -> Option<Response> {
    let path = uri.path();
    let asset = match path.strip_suffix('/') {
        Some(folder) => embedded::page(&format!("{folder}/index.html")),
        None => embedded::page(path),
    };
    if let Some(asset) = asset {
        return Some(asset.respond_with_own_policy(&parts.headers));
    }
    // Relative addresses in a page need the slash.
    embedded::page(&format!("{path}/index.html"))?;
    let location = format!("{}/", parts.uri.path());
    Some((StatusCode::TEMPORARY_REDIRECT, [(LOCATION, location)]).into_response())
}

fn without_public(uri: &Uri) -> Option<Uri> {
    let path_and_query = uri.path_and_query()?.as_str();
    let rest = path_and_query.strip_prefix("/public")?;
    rest.starts_with('/').then(|| rest.parse().ok())?
}

fn not_found(text: &'static str) -> Response {
    let mut response = (StatusCode::NOT_FOUND, text).into_response();
    response
        .headers_mut()
        .insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

impl ClientGeneration {
    /// The name in settings and addresses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V0_9 => "0.9",
            Self::V1 => "1",
            Self::V2 => "2",
            Self::V3 => "3",
            Self::V4 => "4",
        }
    }
}

impl fmt::Display for ClientGeneration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The text names no generation of the client library.
#[derive(Debug, thiserror::Error)]
#[error("client generation `{0}` is unknown, use one of 0.9, 1, 2, 3, 4")]
pub struct UnknownGeneration(String);

impl FromStr for ClientGeneration {
    type Err = UnknownGeneration;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::value_variants()
            .iter()
            .copied()
            .find(|generation| generation.as_str() == text)
            .ok_or_else(|| UnknownGeneration(text.to_owned()))
    }
}
