//! What is sent or expected literally: bytes, with `{placeholders}` for what differs from one
//! conversation to the next.
//!
//! `{word}`, of lower-case letters and `_`, is a placeholder; `{{` writes one brace; any other
//! brace stands for itself, so that `{"a": 1}` is what it looks like.
//!
//! Never: knows who says it or where it goes.

use super::talk::Variables;

/// What each conversation fills in by itself.
pub(super) const PLACEHOLDERS: [&str; 4] = ["host", "connection", "conversation", "random"];

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Text(Vec<Piece>);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Piece {
    Bytes(Vec<u8>),
    Host,
    Connection,
    Conversation,
    Random,
    /// What an expression has captured, by its slot.
    Captured(usize),
}

impl Text {
    /// Text with placeholders; `captured` are the names that expressions before it capture.
    pub(super) fn parse(text: &str, captured: &[String]) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut plain = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            plain.extend_from_slice(&rest.as_bytes()[..at]);
            let behind = &rest[at + 1..];
            if let Some(word) = word(behind) {
                if !plain.is_empty() {
                    pieces.push(Piece::Bytes(std::mem::take(&mut plain)));
                }
                pieces.push(piece(word, captured)?);
                rest = &behind[word.len() + 1..];
            } else {
                plain.push(b'{');
                rest = behind.strip_prefix('{').unwrap_or(behind);
            }
        }
        plain.extend_from_slice(rest.as_bytes());
        if !plain.is_empty() {
            pieces.push(Piece::Bytes(plain));
        }
        Ok(Self(pieces))
    }

    /// Bytes as they are.
    pub(super) fn bytes(bytes: Vec<u8>) -> Self {
        Self(if bytes.is_empty() { Vec::new() } else { vec![Piece::Bytes(bytes)] })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What it is without looking at a conversation, if it is the same in all of them.
    pub(super) fn constant(&self) -> Option<&[u8]> {
        match self.0.as_slice() {
            [Piece::Bytes(bytes)] => Some(bytes),
            _ => None,
        }
    }

    /// Appends what it is in this conversation.
    pub(super) fn fill(&self, variables: &Variables, captured: &[Vec<u8>], out: &mut Vec<u8>) {
        for piece in &self.0 {
            match piece {
                Piece::Bytes(bytes) => out.extend_from_slice(bytes),
                Piece::Host => out.extend_from_slice(variables.host.as_bytes()),
                Piece::Connection => append(out, variables.connection),
                Piece::Conversation => append(out, variables.conversation),
                Piece::Random => {
                    out.extend_from_slice(format!("{:016x}", variables.random).as_bytes());
                }
                Piece::Captured(slot) => out.extend_from_slice(&captured[*slot]),
            }
        }
    }
}

fn append(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(number.to_string().as_bytes());
}

/// The word of `word}...`.
fn word(behind_brace: &str) -> Option<&str> {
    let (word, _) = behind_brace.split_once('}')?;
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    (!word.is_empty() && word.bytes().all(fits)).then_some(word)
}

fn piece(word: &str, captured: &[String]) -> Result<Piece, String> {
    Ok(match word {
        "host" => Piece::Host,
        "connection" => Piece::Connection,
        "conversation" => Piece::Conversation,
        "random" => Piece::Random,
        other => match captured.iter().position(|name| name == other) {
            Some(slot) => Piece::Captured(slot),
            None => {
                let known = PLACEHOLDERS.map(|name| format!("{{{name}}}")).join(", ");
                return Err(format!(
                    "{{{other}}} is no placeholder: these are {known}, and what an expect_regex \
                     before it captures; to write a brace, double it"
                ));
            }
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> Vec<u8> {
        let captured = ["token".to_string()];
        let mut out = Vec::new();
        let text = Text::parse(text, &captured).expect("sound");
        text.fill(&Variables::example(), &[b"t0\xff".to_vec()], &mut out);
        out
    }

    #[test]
    fn placeholders_are_filled_in() {
        assert_eq!(filled("a{host}b{connection}"), b"aexample.orgb7");
        assert_eq!(filled("{conversation}."), b"1007.");
        assert_eq!(filled("{random}"), b"00000000000000ff");
        assert_eq!(filled("<{token}>"), b"<t0\xff>");
        assert_eq!(filled("\u{e4}\r\n"), "\u{e4}\r\n".as_bytes());
    }

    #[test]
    fn other_braces_stand_for_themselves_and_doubled_ones_for_one() {
        assert_eq!(filled(r#"{"a": {"b": 1}, "c": {}}"#), br#"{"a": {"b": 1}, "c": {}}"#);
        assert_eq!(filled("{{host}"), b"{host}");
        assert_eq!(filled("{{{host}}"), b"{example.org}");
        assert_eq!(filled("{Host} {1} {a b} { {host"), b"{Host} {1} {a b} { {host");
        assert_eq!(filled("}{"), b"}{");
    }

    #[test]
    fn an_unknown_placeholder_is_named_with_those_that_there_are() {
        let error = Text::parse("a{nick}b", &[]).expect_err("unknown");
        assert!(error.contains("{nick}") && error.contains("{host}"), "{error}");
        assert!(Text::parse("{token}", &[]).is_err());
    }

    #[test]
    fn what_holds_no_placeholder_is_the_same_in_all_conversations() {
        let text = |text| Text::parse(text, &[]).expect("sound");
        assert_eq!(text("PING").constant(), Some(&b"PING"[..]));
        assert_eq!(text("{host}").constant(), None);
        assert!(text("").is_empty());
    }
}
