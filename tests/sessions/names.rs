//! Whose names are whose, on all front ends of one server: accounts have theirs for themselves, and nobody is called as the
//! pages call themselves.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest},
};

use crate::{
    browser::Browser,
    harness::{
        client::{Client, Packet},
        server::Server,
        soon,
    },
    views::server_with_accounts,
};

/// What looks like `Ann`, or like a name that pages use.
const NOT_THEIRS: [&str; 8] = [
    "Ann",
    " ANN ",
    "Ann\u{2800}",
    "\u{410}nn",
    "Ann.",
    "System",
    "system",
    "Guest",
];

#[tokio::test]
async fn nobody_is_called_what_an_account_or_a_page_is_called_on_any_front_end() {
    let (server, _views) = server_with_accounts(&[]);
    Browser::new(server.address()).register("Ann").await;
    let mut native = Client::websocket(server.address(), "/chat").await;
    let mut bare = Bare::open(&server, None).await;
    for name in NOT_THEIRS {
        let answer = native.ask("hello", &json!({ "name": name })).await;
        assert_eq!(answer["ok"], false, "{name}: {answer}");
        assert_eq!(answer["error"]["code"], "bad_name", "{name}");
        assert_eq!(answer["error"]["retry"], false, "{name}");

        let told = bare.say(name, "it is me").await;
        assert_eq!(told["username"], "System", "{name}");
        let told = told["msg"].as_str().unwrap();
        assert!(told.starts_with("Not sent: the name "), "{name}: {told}");

        let mut visitor = Browser::new(server.address());
        let answer = visitor.post("/user", &[("user", name)]).await;
        assert!(answer["error"] != "", "{name}: {answer}");
        assert_eq!(visitor.cookie, None, "{name}");
        let mail = [("name", name), ("mail", "other@mail.example")];
        let answer = visitor.post("/register", &mail).await;
        assert!(answer["error"].is_string(), "{name}: {answer}");
    }
    // Others are called what they like, and nobody was cut off.
    let answer = native.ask("hello", &json!({ "name": "Anna" })).await;
    assert_eq!(answer["ok"], true, "{answer}");
    let told = bare.say("Bob", "it is me").await;
    assert_eq!(told["username"], "Bob", "{told}");
}

#[tokio::test]
async fn whoever_is_logged_in_has_the_name_on_all_front_ends_until_the_login_ends() {
    let (server, _views) = server_with_accounts(&[]);
    let mut browser = Browser::new(server.address());
    browser.enter("Ann").await;
    let cookie = browser.cookie.clone().unwrap();
    let mut native = Client::with_cookie(server.address(), "/chat", &cookie).await;
    let answer = native.ask("hello", &json!({ "name": "Ann" })).await;
    assert_eq!(answer["ok"], true, "{answer}");
    let mut bare = Bare::open(&server, Some(&cookie)).await;
    let told = bare.say("Ann", "it is me").await;
    assert_eq!(
        (&told["username"], &told["msg"]),
        (&json!("Ann"), &json!("it is me"))
    );

    // A login is no licence for other names of accounts.
    Browser::new(server.address()).register("Bob").await;
    let mut other = Client::with_cookie(server.address(), "/chat", &cookie).await;
    let answer = other.ask("hello", &json!({ "name": "Bob" })).await;
    assert_eq!(answer["error"]["code"], "bad_name", "{answer}");

    browser.get("/logout").await;
    let why = native
        .expect("a word on the end", |packet| match packet {
            Packet::Event(name, why) if name == "goodbye" => Some(why.clone()),
            _ => None,
        })
        .await;
    assert_eq!(why["code"], "signed_out", "{why}");
    bare.ends().await;
}

#[tokio::test]
async fn where_there_are_no_accounts_pages_have_their_names_all_the_same() {
    let redis = crate::harness::redis::RedisServer::start();
    let server = Server::start(&["--redis", &redis.url()]);
    let mut native = Client::websocket(server.address(), "/chat").await;
    let answer = native.ask("hello", &json!({ "name": "System" })).await;
    assert_eq!(answer["error"]["code"], "bad_name", "{answer}");
    let answer = native.ask("hello", &json!({ "name": "Ann" })).await;
    assert_eq!(answer["ok"], true, "{answer}");
}

/// A client without Socket.IO.
struct Bare(WebSocketStream<TcpStream>);

impl Bare {
    async fn open(server: &Server, cookie: Option<&str>) -> Self {
        let stream = TcpStream::connect(server.address()).await.unwrap();
        let mut request = format!("ws://{}/", server.address())
            .into_client_request()
            .unwrap();
        if let Some(cookie) = cookie {
            let headers = request.headers_mut();
            headers.insert("cookie", cookie.parse().unwrap());
        }
        let upgraded = soon("an upgrade", client_async(request, stream)).await;
        let mut bare = Self(upgraded.unwrap().0);
        // The history.
        bare.lines().await.expect("a first line");
        bare
    }

    /// Says something, and returns the line that comes of it.
    async fn say(&mut self, username: &str, msg: &str) -> Value {
        let text = json!({ "username": username, "msg": msg }).to_string();
        self.0.send(Message::text(text)).await.unwrap();
        let lines = self.lines().await.expect("a line");
        lines[0].clone()
    }

    async fn lines(&mut self) -> Option<Value> {
        soon("lines", async {
            loop {
                match self.0.next().await? {
                    Ok(Message::Text(text)) => return serde_json::from_str(&text).ok(),
                    Ok(Message::Close(_)) | Err(_) => return None,
                    Ok(_) => {}
                }
            }
        })
        .await
    }

    async fn ends(&mut self) {
        while self.lines().await.is_some() {}
    }
}
