//! Compresses each file once for each encoding and keeps the result, so that a request costs no more than sending it. A
//! file is one of the build's or one of the operator's folder; what has no [`Source`] is sent as it is.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, VARY,
};
use indexmap::IndexMap;
use parking_lot::Mutex;

use crate::transport::encoding::{Encoding, preferred};

/// Smaller answers fit in one network packet anyway; bytes.
const SMALLEST: u64 = 1024;

/// Larger files are sent as they are: compressing needs all of one in memory; bytes.
const LARGEST: u64 = 8 << 20;

/// How many compressed bytes are kept. What the build brings along takes less than 4 MiB of it.
const MOST_KEPT: usize = 32 << 20;

const OFFERED: [Encoding; 2] = [Encoding::Brotli, Encoding::Gzip];

/// Which file an answer is, whatever the address it was asked for by. An extension of the answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Source {
    /// One of the build's, by the hash of its content.
    Embedded(HeaderValue),
    /// One of the operator's, by its real path.
    File(PathBuf),
}

/// Adds compression to all routes.
pub(super) fn layered<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    let kept = Arc::new(Kept::new(MOST_KEPT));
    router.layer(middleware::from_fn_with_state(kept, layer))
}

async fn layer(State(kept): State<Arc<Kept>>, request: Request, next: Next) -> Response {
    let encoding = preferred(request.headers(), &OFFERED);
    let is_head = request.method() == Method::HEAD;
    let mut response = next.run(request).await;
    let Some(source) = response.extensions_mut().remove::<Source>() else {
        return response;
    };
    if response.status() != StatusCode::OK || !is_worth_it(&response) {
        return response;
    }
    let headers = response.headers_mut();
    headers.append(VARY, ACCEPT_ENCODING.into());
    let (Some(encoding), Some(version)) = (encoding, headers.get(ETAG).cloned()) else {
        return response;
    };
    headers.insert(CONTENT_ENCODING, encoding.header());
    headers.remove(CONTENT_LENGTH);
    // A part of the compressed file would be none of the file.
    headers.remove(ACCEPT_RANGES);
    if is_head {
        return response;
    }
    let (parts, plain) = response.into_parts();
    match kept.compressed(source, encoding, version, plain).await {
        Ok(body) => Response::from_parts(parts, body.into()),
        Err(error) => {
            crate::log_limit::log_limited!(warn, %error, "a file could not be read to its end");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn is_worth_it(response: &Response) -> bool {
    let told = response.headers().get(CONTENT_LENGTH);
    let told = told.and_then(|length| length.to_str().ok()?.parse().ok());
    let size = told.or_else(|| response.body().size_hint().exact());
    size.is_some_and(|size| (SMALLEST..=LARGEST).contains(&size)) && is_text(response.headers())
}

fn is_text(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let essence = media_type.and_then(|value| value.split(|byte| *byte == b';').next());
    essence.is_some_and(|essence| {
        essence.starts_with(b"text/")
            || essence.ends_with(b"/javascript")
            || essence.ends_with(b"json")
            || essence.ends_with(b"xml")
    })
}

/// Files as they were compressed, the oldest first.
struct Kept {
    files: Mutex<Files>,
    /// One file is compressed at a time: whoever asks for many takes no more than one processor, and two who ask for the
    /// same have it compressed once.
    compressing: Arc<tokio::sync::Mutex<()>>,
}

struct Files {
    by_source: IndexMap<(Source, Encoding), File>,
    /// Of all of them.
    bytes: usize,
    most: usize,
}

struct File {
    /// The ETag that it had: it says whether the file is still the same.
    version: HeaderValue,
    compressed: Bytes,
}

impl Kept {
    fn new(most: usize) -> Self {
        let files = Files {
            by_source: IndexMap::new(),
            bytes: 0,
            most,
        };
        Self {
            files: Mutex::new(files),
            compressing: Arc::default(),
        }
    }

    /// The compressed file: what is kept of this version, otherwise `plain`, compressed on a thread of its own.
    async fn compressed(
        self: &Arc<Self>,
        source: Source,
        encoding: Encoding,
        version: HeaderValue,
        plain: Body,
    ) -> Result<Bytes, axum::Error> {
        let key = (source, encoding);
        if let Some(compressed) = self.files.lock().find(&key, &version) {
            return Ok(compressed);
        }
        let one = self.compressing.clone().lock_owned().await;
        if let Some(compressed) = self.files.lock().find(&key, &version) {
            return Ok(compressed);
        }
        let kept = self.clone();
        // A client that goes away meanwhile would have it compressed for nothing, and the next one again.
        let compressing = tokio::spawn(async move {
            let _one = one;
            let plain = to_bytes(plain, LARGEST as usize).await?;
            let compressing = tokio::task::spawn_blocking(move || encoding.encode(&plain));
            let compressed = Bytes::from(compressing.await.map_err(axum::Error::new)?);
            kept.files.lock().keep(key, version, compressed.clone());
            Ok(compressed)
        });
        compressing.await.map_err(axum::Error::new)?
    }
}

impl Files {
    fn find(&self, key: &(Source, Encoding), version: &HeaderValue) -> Option<Bytes> {
        let file = self.by_source.get(key)?;
        (file.version == *version).then(|| file.compressed.clone())
    }

    fn keep(&mut self, key: (Source, Encoding), version: HeaderValue, compressed: Bytes) {
        if let Some(former) = self.by_source.shift_remove(&key) {
            self.bytes -= former.compressed.len();
        }
        self.bytes += compressed.len();
        let file = File {
            version,
            compressed,
        };
        self.by_source.insert(key, file);
        while self.bytes > self.most
            && let Some((_, oldest)) = self.by_source.shift_remove_index(0)
        {
            self.bytes -= oldest.compressed.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn key(name: &str) -> (Source, Encoding) {
        (Source::File(name.into()), Encoding::Gzip)
    }

    #[test]
    fn the_oldest_files_are_dropped_when_too_many_bytes_are_kept() {
        let mut files = Files {
            by_source: IndexMap::new(),
            bytes: 0,
            most: 10,
        };
        let version = HeaderValue::from_static("\"1\"");
        let four = || Bytes::from_static(b"four");
        for name in ["a", "b", "c"] {
            files.keep(key(name), version.clone(), four());
        }
        assert_eq!(files.bytes, 8);
        assert_eq!(files.find(&key("a"), &version), None);
        assert!(files.find(&key("b"), &version).is_some());

        let newer = HeaderValue::from_static("\"2\"");
        files.keep(key("b"), newer.clone(), four());
        assert_eq!(files.bytes, 8, "one version of a file is kept");
        assert_eq!(files.find(&key("b"), &version), None);

        files.keep(
            key("d"),
            version.clone(),
            Bytes::from_static(b"eleven bytes"),
        );
        assert_eq!(files.bytes, 0, "it is larger than all that may be kept");
        assert_eq!(files.find(&key("d"), &version), None);
    }

    #[tokio::test]
    async fn a_version_is_compressed_once_for_each_encoding() {
        let kept = Arc::new(Kept::new(MOST_KEPT));
        let source = Source::File("page.html".into());
        let compressed = |encoding, version: &'static str, text: &'static str| {
            let version = HeaderValue::from_static(version);
            kept.compressed(source.clone(), encoding, version, Body::from(text))
        };
        let first = compressed(Encoding::Gzip, "\"1\"", "first").await.unwrap();
        let again = compressed(Encoding::Gzip, "\"1\"", "not read")
            .await
            .unwrap();
        assert_eq!(
            first.as_ptr(),
            again.as_ptr(),
            "the very bytes that are kept"
        );
        let other = compressed(Encoding::Brotli, "\"1\"", "first")
            .await
            .unwrap();
        assert_ne!(first, other);
        let second = compressed(Encoding::Gzip, "\"2\"", "second").await.unwrap();
        assert_eq!(second, Encoding::Gzip.encode(b"second"));
    }

    #[tokio::test]
    async fn a_file_is_kept_though_whoever_asked_for_it_went_away() {
        let kept = Arc::new(Kept::new(MOST_KEPT));
        let (key, version) = (key("page.html"), HeaderValue::from_static("\"1\""));
        let read = Arc::new(tokio::sync::Notify::new());
        let content = futures_util::stream::once({
            let read = read.clone();
            async move {
                read.notified().await;
                Ok::<_, std::io::Error>("content")
            }
        });
        let plain = Body::from_stream(content);
        let asking = kept.compressed(key.0.clone(), key.1, version.clone(), plain);
        assert!(asking.now_or_never().is_none(), "it is being read");
        read.notify_one();
        // Whoever is next waits until that is done.
        let _next = kept.compressing.lock().await;
        let compressed = kept.files.lock().find(&key, &version);
        assert_eq!(compressed.unwrap(), Encoding::Gzip.encode(b"content"));
    }
}
