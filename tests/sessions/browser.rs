//! A browser as far as logins go: it keeps the cookie that it is given, and posts forms from the server's own page.

use std::net::SocketAddr;

use form_urlencoded::Serializer;
use serde_json::Value;

use crate::harness::http::{Answer, ask};

const FORM: &str = "Content-Type: application/x-www-form-urlencoded; charset=UTF-8\r\n";

pub struct Browser {
    pub address: SocketAddr,
    /// `name=value`, as it is sent.
    pub cookie: Option<String>,
    /// The last `Set-Cookie`.
    pub set: Option<String>,
    /// More headers for each request.
    pub headers: String,
}

impl Browser {
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            cookie: None,
            set: None,
            headers: format!("Referer: http://{address}/\r\n"),
        }
    }

    /// Another one that has got hold of this one's cookie.
    pub fn twin(&self) -> Self {
        Self {
            cookie: self.cookie.clone(),
            ..Self::new(self.address)
        }
    }

    pub async fn get(&mut self, path: &str) -> Answer {
        self.send("GET", path, "", "").await
    }

    /// Posts a form, and returns what the page makes of the answer.
    pub async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Value {
        let answer = self.post_form(path, fields).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        serde_json::from_str(&answer.body).unwrap()
    }

    pub async fn post_form(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let form = Serializer::new(String::new()).extend_pairs(fields).finish();
        self.send("POST", path, FORM, &form).await
    }

    pub async fn send(&mut self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let mut headers = format!("{headers}{}", self.headers);
        if let Some(cookie) = &self.cookie {
            headers.push_str(&format!("Cookie: theme=dark; {cookie}\r\n"));
        }
        let answer = ask(self.address, method, path, &headers, body.as_bytes());
        let answer = answer.await.unwrap();
        self.set = answer.header("set-cookie").map(str::to_owned);
        if let Some(set) = &self.set {
            let cookie = set.split(';').next().unwrap();
            self.cookie = (!set.contains("Max-Age=0")).then(|| cookie.to_owned());
        }
        answer
    }

    /// Registers; returns the password.
    pub async fn register(&mut self, name: &str) -> String {
        let mail = mail_of(name);
        let answer = self
            .post("/register", &[("name", name), ("mail", &mail)])
            .await;
        let pass = answer["pass"].as_str();
        pass.unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    pub async fn login(&mut self, name: &str, pass: &str) -> Value {
        let mail = mail_of(name);
        self.post("/login", &[("mail", &mail), ("pass", pass)])
            .await
    }

    /// Registers and logs in.
    pub async fn enter(&mut self, name: &str) -> String {
        let pass = self.register(name).await;
        let answer = self.login(name, &pass).await;
        assert_eq!(answer["success"], true, "{answer}");
        pass
    }

    /// Who is logged in, as the page of [`crate::views`] shows it.
    pub async fn who(&mut self) -> String {
        let page = self.get("/").await;
        assert_eq!(page.status, 200, "{page:?}");
        page.body
    }
}

pub fn mail_of(name: &str) -> String {
    format!("{}@mail.example", name.to_lowercase())
}
