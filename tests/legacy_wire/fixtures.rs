//! Requests and answers as they were recorded from the old server, in `fixtures/`: `>` begins a
//! line of the request, `<` one of the answer, `SID` stands for the session's id. Compared are the
//! status, the body and every header but those of the hop (and the length, which the old server left
//! to chunks now and then). That answers are not to be cached, the old server did not say.

use super::{
    server,
    wire::{Answer, request},
};

const HOP: [&str; 5] = [
    "connection",
    "content-length",
    "date",
    "keep-alive",
    "transfer-encoding",
];

struct Exchange {
    title: String,
    head: String,
    body: String,
    status: u16,
    headers: Vec<(String, String)>,
    answer: String,
}

impl Exchange {
    fn parse(block: &str) -> Self {
        let part = |mark: &str| -> (String, String) {
            let lines = block.lines().filter_map(|line| line.strip_prefix(mark));
            let (mut head, mut body, mut in_body) = (Vec::new(), Vec::new(), false);
            for line in lines {
                match line.strip_prefix(' ') {
                    None => in_body = true,
                    Some(line) if in_body => body.push(line),
                    Some(line) => head.push(line),
                }
            }
            (head.join("\n"), body.join("\n"))
        };
        let title = block.lines().next().unwrap().strip_prefix("# ");
        let (head, body) = part(">");
        let (answer_head, answer) = part("<");
        let (status, headers) = answer_head.split_once('\n').unwrap_or((&answer_head, ""));
        Self {
            title: title.expect("a title").to_owned(),
            head,
            body: unescape(&body),
            status: status.parse().expect("a status"),
            headers: headers
                .lines()
                .map(|line| line.split_once(": ").unwrap())
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect(),
            answer: unescape(&answer),
        }
    }

    fn compare(&self, answer: &Answer, sid: &str) {
        let title = &self.title;
        assert_eq!(answer.status, self.status, "{title}");
        assert_eq!(answer.body, self.answer.replace("SID", sid), "{title}");
        let mut expected = self.headers.clone();
        let ours = [("cache-control", "no-store"), ("vary", "Origin")];
        expected.extend(ours.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let mut actual = answer.headers.clone();
        actual.retain(|(name, _)| !HOP.contains(&name.as_str()));
        expected.sort();
        actual.sort();
        assert_eq!(actual, expected, "{title}");
    }
}

fn unescape(text: &str) -> String {
    text.replace("\\u{fffd}", "\u{fffd}").replace("\\s", " ")
}

async fn run(recorded: &str) {
    let server = server::start().await;
    let mut sid = String::new();
    for block in recorded
        .split("\n\n")
        .filter(|block| block.starts_with("# "))
    {
        let exchange = Exchange::parse(block);
        let head = exchange.head.replace("SID", &sid);
        let answer = request(server.address, &head, &exchange.body).await;
        let told = answer
            .body
            .trim_start_matches("io.j[0](\"")
            .split(':')
            .next();
        if exchange.answer.contains("SID") && !exchange.head.contains("SID") {
            sid = told.unwrap().to_owned();
            assert_eq!(sid.len(), 20, "{}: {}", exchange.title, answer.body);
        }
        exchange.compare(&answer, &sid);
    }
}

#[tokio::test]
async fn handshakes_are_answered_as_recorded() {
    run(include_str!("fixtures/handshake.txt")).await;
}

#[tokio::test]
async fn xhr_polling_is_answered_as_recorded() {
    run(include_str!("fixtures/xhr-polling.txt")).await;
}

#[tokio::test]
async fn jsonp_polling_is_answered_as_recorded() {
    run(include_str!("fixtures/jsonp-polling.txt")).await;
}

#[tokio::test]
async fn sessions_that_are_not_known_are_answered_as_recorded() {
    run(include_str!("fixtures/unknown.txt")).await;
}
