//! Visits the pages of the settings, and fetches what they ask this server for, as a browser does; nothing from elsewhere.

use std::collections::BTreeSet;

use http::StatusCode;
use url::Url;

use super::{
    SUBJECT,
    document::{Document, Kind, Reference, of_style},
    has,
    library::{self, Library},
};
use crate::{
    doctor::finding::Finding,
    settings::{Settings, Switch},
    transport::web::{Web, index, kschat, visit::Visitor},
};

/// The server's own address, as far as pages are concerned.
const HERE: &str = "http://this.server.invalid";

/// How many files of a page are fetched.
const MOST: usize = 500;

/// A page, with all that it has fetched.
pub(super) struct Page {
    /// Its address, for people.
    pub name: String,
    pub loaded: Vec<Loaded>,
    /// The page's own scripts: within it, and in files of this server's that are not just a library.
    pub scripts: Vec<String>,
}

/// Something that a page fetches.
pub(super) struct Loaded {
    pub kind: Kind,
    /// With its query, below this server; the whole address where it is elsewhere.
    pub path: String,
    /// The other server that it is on.
    pub host: Option<String>,
    /// What is there.
    pub body: Option<String>,
}

impl Loaded {
    pub fn is_missing(&self) -> bool {
        self.host.is_none() && self.body.is_none()
    }
}

impl Page {
    /// The first client library among what it fetched.
    pub fn library(&self) -> Option<Library> {
        let scripts = self
            .loaded
            .iter()
            .filter(|loaded| loaded.kind == Kind::Script);
        let mut found = scripts.filter_map(|loaded| match &loaded.host {
            Some(_) => library::by_address(&loaded.path),
            None => library::served(&loaded.path)
                .or_else(|| library::by_content(loaded.body.as_deref().unwrap_or_default())),
        });
        let inline = || {
            self.scripts
                .iter()
                .find_map(|script| library::by_content(script))
        };
        found.next().or_else(inline)
    }
}

/// The pages that there are, and what is wrong with those that there are not.
pub(super) async fn pages(settings: &Settings) -> (Vec<Page>, Vec<Finding>) {
    let visitor = Visitor::new(Web {
        public: settings.public.clone(),
        client: settings.client,
        catch_up: settings.catch_up == Switch::On,
        ..Web::default()
    });
    let views = settings.views.as_deref();
    let mut pages = Vec::new();
    let mut findings = Vec::new();
    // Settings that parse have templates that can be read.
    if let Some(views) = views.filter(|_| has(views, kschat::FILE))
        && let Ok(view) = kschat::read(views)
    {
        let values = [
            ("uid", Some("1")),
            ("rid", Some("2")),
            ("random", Some("3")),
            ("tokenId", Some("")),
        ];
        let html = view.render(&values).unwrap_or_default();
        pages.push(visit(&visitor, "/kschat", &html).await);
    }
    if let Some(views) = views.filter(|_| has(views, index::FILE))
        && let Ok(view) = index::read(views)
    {
        let server = settings.replica();
        let values = [
            ("name", Some("ann")),
            ("user", Some("ann")),
            ("server", Some(&*server)),
        ];
        let html = view.render(&values).unwrap_or_default();
        pages.push(visit(&visitor, "/", &html).await);
    } else if settings.public.is_some() {
        let found = visitor.get("/").await;
        if found.status == StatusCode::OK {
            let html = String::from_utf8_lossy(&found.body).into_owned();
            pages.push(visit(&visitor, "/", &html).await);
        } else if pages.is_empty() {
            let what = "there is nothing at /: the folder of --public has no index.html".to_owned();
            let inner = settings.public.as_ref().map(|folder| folder.join("public"));
            let to_do = match inner.filter(|inner| has(Some(inner), "index.html")) {
                Some(inner) => format!("{} has one: --public {0}", inner.display()),
                None => {
                    "Name the folder that has it, or give --views where it is a template".into()
                }
            };
            findings.push(Finding::bad(SUBJECT, what, to_do));
        }
    }
    (pages, findings)
}

async fn visit(visitor: &Visitor, path: &str, html: &str) -> Page {
    let document = Document::read(html);
    let here: Url = format!("{HERE}{path}").parse().expect("a right address");
    let base = document
        .base
        .as_deref()
        .and_then(|base| here.join(base).ok());
    let base = base.unwrap_or(here);
    let mut page = Page {
        name: format!("the page at {path}"),
        loaded: Vec::new(),
        scripts: document.scripts,
    };
    let mut seen = BTreeSet::new();
    let to_load = |base: &Url, references: Vec<Reference>| -> Vec<(Kind, Url)> {
        let resolved = references.into_iter();
        let resolved = resolved
            .filter_map(|reference| Some((reference.kind, base.join(&reference.address).ok()?)));
        resolved.collect()
    };
    let mut waiting = to_load(&base, document.references);
    waiting.reverse();
    while let Some((kind, url)) = waiting.pop() {
        if page.loaded.len() == MOST || !seen.insert(url.clone()) {
            continue;
        }
        let loaded = load(visitor, kind, &url).await;
        if let Some(body) = &loaded.body {
            match kind {
                Kind::Style => waiting.extend(to_load(&url, of_style(body))),
                Kind::Script if !library::is_alone(&loaded.path) => {
                    page.scripts.push(body.clone());
                }
                _ => {}
            }
        }
        page.loaded.push(loaded);
    }
    page
}

async fn load(visitor: &Visitor, kind: Kind, url: &Url) -> Loaded {
    if url.origin().ascii_serialization() != HERE {
        return Loaded {
            kind,
            path: url.to_string(),
            host: Some(url.host_str().unwrap_or(url.scheme()).to_owned()),
            body: None,
        };
    }
    let path = url[url::Position::BeforePath..url::Position::AfterQuery].to_owned();
    let found = visitor.get(&path).await;
    let body = found
        .status
        .is_success()
        .then(|| String::from_utf8_lossy(&found.body).into_owned());
    Loaded {
        kind,
        path,
        host: None,
        body,
    }
}
