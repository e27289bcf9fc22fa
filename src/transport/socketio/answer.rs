//! What a client answers to an event of ours, as the engine hands it over.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::text;

/// All arguments of an answer, JSON.
pub(super) struct Args(Vec<Box<RawValue>>);

impl Args {
    /// Bytes, without what is between the arguments.
    pub(super) fn size(&self) -> usize {
        self.0.iter().map(|arg| arg.get().len()).sum()
    }

    /// The arguments, readable for everybody.
    pub(super) fn mended(self) -> Vec<Box<RawValue>> {
        let mend = |arg: Box<RawValue>| match text::mend(arg.get()) {
            std::borrow::Cow::Borrowed(_) => arg,
            // Escapes were put in the place of escapes: it is JSON as before.
            std::borrow::Cow::Owned(mended) => RawValue::from_string(mended).unwrap_or(arg),
        };
        self.0.into_iter().map(mend).collect()
    }
}

impl<'de> Deserialize<'de> for Args {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Arguments;
        impl<'de> Visitor<'de> for Arguments {
            type Value = Args;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the arguments of an answer")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut args: A) -> Result<Args, A::Error> {
                let mut all = Vec::new();
                while let Some(arg) = args.next_element()? {
                    all.push(arg);
                }
                Ok(Args(all))
            }
        }
        // The engine takes a tuple for all arguments, and anything else for the first. The number is a hint.
        deserializer.deserialize_tuple(1, Arguments)
    }
}
