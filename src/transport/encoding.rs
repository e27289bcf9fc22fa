//! Content encodings of HTTP: which one a request prefers (RFC 9110, 12.5.3), and bytes in it.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderValue, header::ACCEPT_ENCODING};

/// What costs some ten milliseconds a megabyte and leaves a tenth more than the best that there is.
const BROTLI_QUALITY: u32 = 5;
const BROTLI_WINDOW: u32 = 22;
const BROTLI_BUFFER: usize = 4096;

/// A way to compress an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Encoding {
    Brotli,
    Gzip,
}

/// The encoding of those offered that the request prefers, the first of them where it prefers none; `None` where it
/// accepts none.
pub(crate) fn preferred(request: &HeaderMap, offered: &[Encoding]) -> Option<Encoding> {
    let accepted: Vec<(&str, f32)> = (request.get_all(ACCEPT_ENCODING).iter())
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(coding)
        .collect();
    let weight = |encoding: Encoding| {
        let named =
            |name: &str| (accepted.iter()).find(|(coding, _)| coding.eq_ignore_ascii_case(name));
        named(encoding.name())
            .or_else(|| named("*"))
            .map_or(0.0, |(_, weight)| *weight)
    };
    let mut best = None;
    for encoding in offered {
        let weight = weight(*encoding);
        if weight > best.map_or(0.0, |(_, heaviest)| heaviest) {
            best = Some((*encoding, weight));
        }
    }
    best.map(|(encoding, _)| encoding)
}

/// One element of `Accept-Encoding`; a weight that is no number refuses it.
fn coding(element: &str) -> (&str, f32) {
    let (name, parameters) = element.split_once(';').unwrap_or((element, ""));
    let weight = match parameters.trim().split_once('=') {
        Some((name, weight)) if name.trim().eq_ignore_ascii_case("q") => {
            weight.trim().parse().unwrap_or(0.0)
        }
        _ => 1.0,
    };
    (name.trim(), weight)
}

impl Encoding {
    fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    /// The value of `Content-Encoding`.
    pub(crate) fn header(self) -> HeaderValue {
        HeaderValue::from_static(self.name())
    }

    /// The bytes, compressed. Takes milliseconds: not on a thread that others wait for.
    pub(crate) fn encode(self, plain: &[u8]) -> Vec<u8> {
        const NEVER: &str = "a Vec takes everything";
        match self {
            Self::Brotli => {
                let mut writer = brotli::CompressorWriter::new(
                    Vec::new(),
                    BROTLI_BUFFER,
                    BROTLI_QUALITY,
                    BROTLI_WINDOW,
                );
                writer.write_all(plain).expect(NEVER);
                writer.into_inner()
            }
            Self::Gzip => {
                let mut writer = GzEncoder::new(Vec::new(), Compression::default());
                writer.write_all(plain).expect(NEVER);
                writer.finish().expect(NEVER)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Encoding::*, *};

    #[test]
    fn the_heaviest_encoding_that_is_offered_is_preferred() {
        for (accepted, expected) in [
            ("gzip, deflate, br, zstd", Some(Brotli)),
            ("gzip;q=1.0, br;q=0.5", Some(Gzip)),
            ("GZIP ; q=0.2", Some(Gzip)),
            ("*", Some(Brotli)),
            ("br;q=0, *;q=0.1", Some(Gzip)),
            ("gzip;q=0", None),
            ("gzip;q=often", None),
            ("identity", None),
            ("deflate", None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, accepted.parse().unwrap())]);
            assert_eq!(preferred(&headers, &[Brotli, Gzip]), expected, "{accepted}");
        }
        assert_eq!(preferred(&HeaderMap::new(), &[Brotli, Gzip]), None);
    }

    #[test]
    fn what_is_not_offered_is_not_chosen() {
        let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, "br, gzip;q=0.1".parse().unwrap())]);
        assert_eq!(preferred(&headers, &[Gzip]), Some(Gzip));
    }
}
