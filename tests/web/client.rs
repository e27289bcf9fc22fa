//! Asks a router as a browser would, without a network between.

use std::{fs, time::Duration};

use axum::Router;
use axum::body::{Body, Bytes};
use handshaken::transport::web::{Web, router};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use tempfile::TempDir;
use tower::ServiceExt;

pub const JQUERY: &str = "/public/bower_components/jquery/dist/jquery.min.js";

/// A whole answer.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        let value = value.unwrap_or_else(|| panic!("no {name} in {:?}", self.headers));
        value.to_str().unwrap()
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

pub async fn get(web: &Router, path: &str) -> Answer {
    ask(web, "GET", path, &[]).await
}

pub async fn ask(web: &Router, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).unwrap();
    let Ok(response) = web.clone().oneshot(request).await;
    let (parts, body) = response.into_parts();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body: body.collect().await.unwrap().to_bytes(),
    }
}

/// The router with our own pages.
pub fn own() -> Router {
    router(Web::default())
}

/// The router with the pages of a folder.
pub fn pages(folder: &TempDir) -> Router {
    router(Web {
        public: Some(folder.path().to_owned()),
        ..Web::default()
    })
}

/// The router with the pages of a folder, whose other files browsers may keep for so long.
pub fn pages_kept(folder: &TempDir, public_max_age: Duration) -> Router {
    router(Web {
        public: Some(folder.path().to_owned()),
        public_max_age,
        ..Web::default()
    })
}

/// A folder with these files; removed when dropped.
pub fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let file = folder.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
    }
    folder
}
