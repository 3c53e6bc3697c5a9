//! As much of XML as tells where a stanza ends; what is between tags is passed over.
//!
//! Never: keeps more than two tags, however much a peer sends.

/// The longest tag.
pub(crate) const LONGEST: usize = 1024;

/// Where we are in the peer's stream.
#[derive(Default)]
pub(crate) struct Xml {
    /// The tag whose end is yet to come: at most [`LONGEST`] bytes.
    tag: Vec<u8>,
    /// The quote that an attribute's value began with.
    quote: Option<u8>,
    /// How many elements are open; the stream is the first.
    depth: usize,
    /// The first tag of the stanza that is open.
    stanza: String,
}

/// What a byte has brought to its end.
pub(crate) enum Whole {
    StreamHeader,
    /// A child of the stream; its first tag.
    Stanza(String),
    StreamEnd,
    /// The condition of the error to end the stream with.
    Bad(&'static str),
}

impl Xml {
    pub(crate) fn push(&mut self, byte: u8) -> Option<Whole> {
        if self.tag.is_empty() && byte != b'<' {
            return None;
        }
        if self.tag.len() == LONGEST {
            return Some(Whole::Bad("policy-violation"));
        }
        self.tag.push(byte);
        match (self.quote, byte) {
            (None, b'"' | b'\'') => self.quote = Some(byte),
            (Some(quote), _) if quote == byte => self.quote = None,
            (None, b'>') => return self.end_tag(),
            _ => {}
        }
        None
    }

    fn end_tag(&mut self) -> Option<Whole> {
        let Ok(tag) = String::from_utf8(std::mem::take(&mut self.tag)) else {
            return Some(Whole::Bad("not-well-formed"));
        };
        let (ends, empty) = (tag.starts_with("</"), tag.ends_with("/>"));
        match self.depth {
            0 if tag.starts_with("<?xml ") => return None,
            // Comments and the like are not for streams (RFC 6120, section 11.1).
            _ if tag.starts_with("<?") || tag.starts_with("<!") => {
                return Some(Whole::Bad("restricted-xml"));
            }
            0 if !tag.starts_with("<stream:stream ") || empty => {
                return Some(Whole::Bad("bad-format"));
            }
            1 if tag == "</stream:stream>" => return Some(Whole::StreamEnd),
            1 if ends => return Some(Whole::Bad("not-well-formed")),
            1 => self.stanza = tag,
            _ => {}
        }
        if ends {
            self.depth -= 1;
        } else if !empty {
            self.depth += 1;
        }
        match self.depth {
            1 if self.stanza.is_empty() => Some(Whole::StreamHeader),
            1 => Some(Whole::Stanza(std::mem::take(&mut self.stanza))),
            _ => None,
        }
    }
}

/// The name of an element, by its first tag.
pub(crate) fn name(tag: &str) -> &str {
    let tag = tag.trim_start_matches('<');
    tag.split([' ', '\t', '\r', '\n', '/', '>']).next().unwrap_or(tag)
}

/// The value of an attribute that can stand between our quotes as it is.
pub(crate) fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let (_, value) = tag.split_once(&format!(" {name}="))?;
    let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    let value = value[1..].split(quote).next()?;
    (!value.contains(['\'', '<'])).then_some(value)
}
