//! What the build put into the binary: `public/` with the browser libraries in it, and the client bundles of
//! npm's packages. An asset's ETag is the hash of its content, so it holds over restarts, replicas and builds.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write;

use axum::body::Bytes;
use axum::response::{IntoResponse, Response};
use headers::{ETag, HeaderMapExt, IfNoneMatch};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use rust_embed::{EmbeddedFile, RustEmbed};

use super::ClientGeneration;
use super::compressed::Source;
use super::representation::content_type;

/// For addresses whose content changes with the build or the settings: kept, and asked for each time.
pub const REVALIDATE: HeaderValue = HeaderValue::from_static("public, max-age=0, must-revalidate");

/// For libraries, one week: an address names a major version, not a release, so it may not be kept for ever, and
/// a copy that is a week old still works with every server.
pub const LIBRARY: HeaderValue = HeaderValue::from_static("public, max-age=604800");

/// What our own pages may do: nothing inline, nothing from elsewhere, in nobody's frame.
const OWN_POLICY: [(HeaderName, HeaderValue); 3] = [
    (
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; object-src 'none'; base-uri 'none'; \
             form-action 'self'; frame-ancestors 'none'",
        ),
    ),
    (REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    (
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static("camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ),
];

/// One embedded file, ready to be sent.
pub struct Asset {
    file: EmbeddedFile,
    /// What of ours follows the file.
    addition: Option<EmbeddedFile>,
    content_type: HeaderValue,
    cache_control: HeaderValue,
}

/// The file of our own pages at a path that begins with a slash.
pub fn page(path: &str) -> Option<Asset> {
    if let Some(library) = library(path) {
        return Some(library);
    }
    let path = path.strip_prefix('/')?;
    Some(Asset {
        file: Public::get(path)?,
        addition: None,
        content_type: content_type(path),
        cache_control: REVALIDATE,
    })
}

/// The file of a browser library at a path that begins with `/bower_components/`.
pub fn library(path: &str) -> Option<Asset> {
    let path = path.strip_prefix('/')?;
    if !path.starts_with("bower_components/") {
        return None;
    }
    Some(Asset {
        file: Public::get(path)?,
        addition: None,
        content_type: content_type(path),
        cache_control: LIBRARY,
    })
}

/// The names under which a generation's bundles and source maps are found, as its npm package has them;
/// `socket.io.js` always, so that its absence from a build can be told.
pub fn bundle_names(generation: ClientGeneration) -> BTreeSet<Cow<'static, str>> {
    let names: Vec<_> = match generation {
        ClientGeneration::V0_9 => Client0_9::iter().collect(),
        ClientGeneration::V1 => Client1::iter().collect(),
        ClientGeneration::V2 => Client2::iter().collect(),
        ClientGeneration::V3 => Client3::iter().collect(),
        ClientGeneration::V4 => Client4::iter().collect(),
    };
    names
        .into_iter()
        .chain([Cow::Borrowed("socket.io.js")])
        .collect()
}

/// A bundle or source map of a generation; a bundle that pages include by name with what has it catch up, where
/// that is wanted.
pub fn bundle(
    generation: ClientGeneration,
    name: &str,
    catches_up: bool,
    cache_control: HeaderValue,
) -> Option<Asset> {
    let file = match generation {
        ClientGeneration::V0_9 => Client0_9::get(name),
        ClientGeneration::V1 => Client1::get(name),
        ClientGeneration::V2 => Client2::get(name),
        ClientGeneration::V3 => Client3::get(name),
        ClientGeneration::V4 => Client4::get(name),
    }?;
    let content_type = if name.ends_with(".js") {
        // The Node servers' name for it.
        HeaderValue::from_static("application/javascript; charset=utf-8")
    } else {
        content_type(name)
    };
    // A module has no name that pages share.
    let adds = catches_up && name.ends_with(".js") && !name.contains(".esm.");
    Some(Asset {
        file,
        addition: adds.then(|| Addition::get("catch-up.js")).flatten(),
        content_type,
        cache_control,
    })
}

impl Asset {
    /// The asset, or 304 when the browser says that it has it.
    pub fn respond(self, request: &HeaderMap) -> Response {
        let etag = self.etag();
        let unchanged = request
            .typed_get::<IfNoneMatch>()
            .is_some_and(|known| !known.precondition_passes(&etag));
        let mut response = if unchanged {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            let content = match (self.file.data, self.addition) {
                (data, Some(addition)) => Bytes::from([&*data, &*addition.data].concat()),
                (Cow::Borrowed(data), None) => Bytes::from_static(data),
                (Cow::Owned(data), None) => Bytes::from(data),
            };
            ([(CONTENT_TYPE, self.content_type)], content).into_response()
        };
        let headers = response.headers_mut();
        headers.typed_insert(etag);
        headers.insert(CACHE_CONTROL, self.cache_control);
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Some(hash) = headers.get(ETAG).cloned() {
            response.extensions_mut().insert(Source::Embedded(hash));
        }
        response
    }

    /// As [`Asset::respond`], with the rules for our own pages. Pages of others may depend on what these forbid.
    pub fn respond_with_own_policy(self, request: &HeaderMap) -> Response {
        let mut response = self.respond(request);
        response.headers_mut().extend(OWN_POLICY);
        response
    }

    fn etag(&self) -> ETag {
        // Half of the SHA-256 is more than enough to tell two versions apart.
        let mut quoted = String::from("\"");
        for part in std::iter::once(&self.file).chain(&self.addition) {
            for byte in &part.metadata.sha256_hash()[..16] {
                write!(quoted, "{byte:02x}").expect("a String takes everything");
            }
        }
        quoted.push('"');
        quoted.parse().expect("quoted hex digits are an ETag")
    }
}

#[derive(RustEmbed)]
#[folder = "public"]
#[exclude = ".*"]
#[exclude = "*/.*"]
#[allow_missing = true]
struct Public;

/// What is added to client libraries.
#[derive(RustEmbed)]
#[folder = "src/transport/web/library"]
struct Addition;

#[derive(RustEmbed)]
#[folder = "node_modules/socket.io-client-0.9/dist"]
#[include = "socket.io*"]
#[allow_missing = true]
struct Client0_9;

#[derive(RustEmbed)]
#[folder = "node_modules/socket.io-client-1/dist"]
#[include = "socket.io*"]
#[allow_missing = true]
struct Client1;

#[derive(RustEmbed)]
#[folder = "node_modules/socket.io-client-2/dist"]
#[include = "socket.io*"]
#[allow_missing = true]
struct Client2;

#[derive(RustEmbed)]
#[folder = "node_modules/socket.io-client-3/dist"]
#[include = "socket.io*"]
#[allow_missing = true]
struct Client3;

#[derive(RustEmbed)]
#[folder = "node_modules/socket.io-client-4/dist"]
#[include = "socket.io*"]
#[allow_missing = true]
struct Client4;
