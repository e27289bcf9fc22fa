//! The operator's folder of pages, as Express's static middleware served it: index files, ranges, conditional
//! requests. Nothing outside of the folder is served, whatever the path or a link in the folder says, and
//! nothing whose name begins with a dot.

use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use futures_util::future::BoxFuture;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, IF_RANGE, RANGE};
use http::request::Parts;
use http::{HeaderValue, Request, StatusCode, Uri};
use parking_lot::Mutex;
use tower::ServiceExt;
use tower_http::services::ServeDir;
use tower_http::services::fs::{Backend, TokioBackend, TokioFile};

use super::compressed::Source;
use super::representation::{content_type, with_charset};

/// For pages: they name what belongs to them, so it is they that are asked for anew.
const NOT_KEPT: HeaderValue = HeaderValue::from_static("public, max-age=0");

/// A folder whose files are served.
pub struct Folder {
    root: Arc<Path>,
    kept: HeaderValue,
}

impl Folder {
    /// The folder is looked up at each request, so a link to it can be turned to a new release.
    /// `max_age` is for how long browsers may keep files that are no pages, in whole seconds.
    pub fn new(root: PathBuf, max_age: Duration) -> Self {
        let kept = format!("public, max-age={}", max_age.as_secs());
        Self {
            root: root.into(),
            kept: HeaderValue::try_from(kept).unwrap_or(NOT_KEPT),
        }
    }

    /// The answer for a file of the folder, `None` when it has none at this address. `uri` may be shorter than the
    /// request's own, by a prefix.
    pub async fn respond(&self, request: &Parts, uri: &Uri) -> Option<Response> {
        let prefix = request.uri.path().strip_suffix(uri.path())?;
        let mut forwarded = Request::new(Body::empty());
        *forwarded.method_mut() = request.method.clone();
        *forwarded.uri_mut() = uri.clone();
        *forwarded.headers_mut() = request.headers.clone();
        // `ServeDir` does not check If-Range, and a part of another version would be joined to the old one.
        if forwarded.headers().contains_key(IF_RANGE) {
            forwarded.headers_mut().remove(RANGE);
        }
        let confined = Confined {
            root: self.root.clone(),
            found: Arc::default(),
        };
        let found = confined.found.clone();
        let files = ServeDir::with_backend(&self.root, confined).redirect_path_prefix(prefix);
        let Ok(response) = files.oneshot(forwarded).await;
        if response.status() == StatusCode::NOT_FOUND {
            return None;
        }
        let is_file =
            response.status().is_success() || response.status() == StatusCode::NOT_MODIFIED;
        let kept = match is_file && !is_page(uri.path()) {
            true => self.kept.clone(),
            false => NOT_KEPT,
        };
        let mut response = response.map(Body::new);
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, kept);
        if let Some(media_type) = headers.remove(CONTENT_TYPE) {
            headers.insert(CONTENT_TYPE, with_charset(media_type));
        }
        if let Some(file) = found.lock().take() {
            response.extensions_mut().insert(Source::File(file));
        }
        Some(response)
    }
}

/// Whether HTML is at this path. By its name: an answer that nothing has changed does not say.
fn is_page(path: &str) -> bool {
    path.ends_with('/') || content_type(path).as_bytes().starts_with(b"text/html")
}

/// The file system as far as the folder goes. Whoever may write to the folder may publish what he likes, so a
/// link that is changed between the check and the opening of the file is no concern.
#[derive(Clone)]
struct Confined {
    root: Arc<Path>,
    /// The real path of what was looked at last: of the file that is answered with.
    found: Arc<Mutex<Option<PathBuf>>>,
}

impl Confined {
    /// The real path of a requested one, or "not found".
    async fn resolve(self, requested: PathBuf) -> io::Result<PathBuf> {
        let found = self.found.clone();
        let resolved = tokio::task::spawn_blocking(move || {
            let root = self.root.canonicalize()?;
            let real = requested.canonicalize()?;
            let inside = [
                requested.strip_prefix(Path::new(".").join(&self.root)),
                real.strip_prefix(&root),
            ];
            let public = inside.into_iter().all(|path| path.is_ok_and(is_public));
            let kind = real.metadata()?.file_type();
            // A pipe or a device would hold the request until somebody writes to it.
            if public && (kind.is_file() || kind.is_dir()) {
                Ok(real)
            } else {
                Err(io::ErrorKind::NotFound.into())
            }
        })
        .await?;
        let resolved = resolved.map_err(|error: io::Error| match error.kind() {
            // Names that no file can have.
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidFilename => {
                io::ErrorKind::NotFound.into()
            }
            _ => error,
        })?;
        *found.lock() = Some(resolved.clone());
        Ok(resolved)
    }
}

fn is_public(path: &Path) -> bool {
    path.components().all(|part| match part {
        Component::Normal(name) => !name.as_encoded_bytes().starts_with(b"."),
        _ => false,
    })
}

impl Backend for Confined {
    type File = TokioFile;
    type Metadata = std::fs::Metadata;
    type OpenFuture = BoxFuture<'static, io::Result<TokioFile>>;
    type MetadataFuture = BoxFuture<'static, io::Result<std::fs::Metadata>>;

    fn open(&self, path: PathBuf) -> Self::OpenFuture {
        let resolved = self.clone().resolve(path);
        Box::pin(async { TokioBackend.open(resolved.await?).await })
    }

    fn metadata(&self, path: PathBuf) -> Self::MetadataFuture {
        let resolved = self.clone().resolve(path);
        Box::pin(async { TokioBackend.metadata(resolved.await?).await })
    }
}
