//! What is no script, and what is said about it.
//!
//! Never: holds a conversation.

use super::Script;

/// What is said of a text that is no script.
pub(super) fn refused(text: &str) -> String {
    let error = Script::parse("x.toml", text).expect_err(text);
    assert_eq!(error.lines().count(), 1, "{error}");
    error
}

#[test]
fn what_is_wrong_is_told_with_its_line_and_column() {
    for (text, want) in [
        ("", "x.toml:1:1: there are no steps"),
        ("step = []", "x.toml:1:8: there are no steps in it"),
        ("step = [1]", "x.toml:1:9: each step must be a table"),
        ("step = 3", "x.toml:1:8: step must be a list of steps, and this is a whole number"),
        ("[[step]]\n\n", "x.toml:1:1: this step does nothing"),
        ("[[step]]\nsend = \"a\nb\"", "x.toml:2:10: "),
        ("stop = 1\n[[step]]\nsend = 'a'", "x.toml:1:1: unknown key \"stop\""),
        ("[[step]]\n  sent = 'a'", "x.toml:2:3: unknown key \"sent\""),
        (
            "[[step]]\nsend = 'a'\nexpect = 'b'",
            "x.toml:3:1: a step does one thing: send and expect",
        ),
        ("[[step]]\nsend = ''", "x.toml:2:8: send = \"\": it is empty"),
        ("[[step]]\nexpect = ''", "x.toml:2:10: expect = \"\": it is empty"),
        ("[[step]]\nexpect_hex = ''", "x.toml:2:14: expect_hex = \"\": it is empty"),
        ("[[step]]\nsend_hex = 'abc'", "x.toml:2:12: send_hex = \"abc\": want pairs"),
        ("[[step]]\nsend_hex = '0g'", "want pairs of hexadecimal digits"),
        ("[[step]]\nsend = 3", "x.toml:2:8: send must be a text in quotes, and this is a whole"),
        ("[[step]]\nsend = '{nick}'", "x.toml:2:8: send = \"{nick}\": {nick} is no placeholder"),
        ("[[step]]\nexpect_regex = 'a('", "x.toml:2:16: expect_regex = \"a(\": unclosed group"),
        ("[[step]]\nexpect_regex = 'a*'", "it is content with nothing at all"),
        ("[[step]]\nexpect_regex = '(a{1000}){1000}'", "x.toml:2:16: "),
        ("[[step]]\nexpect_regex = '(?<host>a)'", "the group \"host\" cannot be called so"),
        ("[[step]]\nexpect_regex = '(?<A>a)'", "the group \"A\" must have a name of a to z"),
        ("[[step]]\nexpect_bytes = 0", "x.toml:2:16: expect_bytes = 0: want 1 to"),
        ("[[step]]\nexpect_bytes = -1", "x.toml:2:16: expect_bytes = -1: want 1 to"),
        ("[[step]]\nsleep = '5'", "x.toml:2:9: sleep = \"5\": want a whole number"),
        ("[[step]]\nthink = '5ms..2ms'", "x.toml:2:9: think = \"5ms..2ms\": the second must not"),
        ("timeout = '0s'\n[[step]]\nsend = 'a'", "x.toml:1:11: timeout = \"0s\": it must be more"),
        ("fail_if = '['\n[[step]]\nsend = 'a'", "x.toml:1:11: fail_if = \"[\": unclosed"),
        ("[[step]]\nstarttls = false", "x.toml:2:12: starttls can only be true"),
        ("[[step]]\nstarttls = 'yes'", "x.toml:2:12: starttls must be true, and this is a text"),
        (
            "[[step]]\nstarttls = true\n[[step]]\nstarttls = true",
            "x.toml:4:1: starttls stands twice",
        ),
        ("[[step]]\nsend = 'a'\ndo = []", "x.toml:3:1: do has no meaning without repeat"),
        ("[[step]]\nrepeat = 3", "x.toml:2:1: repeat needs do"),
        ("[[step]]\nsend = 'a'\nmeasure = true", "x.toml:3:1: measure has no meaning with send"),
        (
            "[[step]]\nrepeat = 2\nmeasure = true\n\
             do = [{ repeat = 2, measure = true, do = [{ send = 'a' }] }]",
            "x.toml:4:21: measure stands twice",
        ),
        ("[[step]]\nrepeat = 0\ndo = [{ send = 'a' }]", "x.toml:2:10: repeat = 0: want 1 to"),
        ("[[step]]\nrepeat = 2\ndo = []", "x.toml:3:6: there are no steps in it"),
        ("[[step]]\nrepeat = 2\ndo = [{ starttls = true }]", "x.toml:3:9: starttls cannot stand"),
        ("[[step]]\nrepeat = 2\ndo = [{ half_close = true }]", "half_close cannot stand within"),
        ("[[step]]\nrepeat = 2\ndo = [{ expect_close = true }]", "expect_close cannot stand"),
        ("[[step]]\nhalf_close = true\n[[step]]\nsend = 'a'", "x.toml:4:1: nothing can be sent"),
        ("[[step]]\nexpect_close = true\n[[step]]\nsleep = '1s'", "x.toml:4:1: nothing can follow"),
        ("[[step]]\nsend = 'a'\ngreeting = true", "x.toml:2:1: only what is expected can be"),
        ("[[step]]\nsend = 'a'\nfail_if = 'b'", "x.toml:3:1: fail_if has no meaning with send"),
        ("[[step]]\nexpect_bytes = 1\nfail_if = 'b'", "fail_if has no meaning with expect_bytes"),
        ("[[step]]\nexpect = 'a'\nname = 1", "x.toml:3:8: name must be a text"),
    ] {
        let error = refused(text);
        assert!(error.starts_with("x.toml:") && error.contains(want), "{text:?}: {error}");
    }
    let umlauts = refused("description = '\u{e4}\u{e4}'; x");
    assert!(umlauts.starts_with("x.toml:1:19: "), "columns are characters: {umlauts}");
}

#[test]
fn no_text_at_all_makes_the_reader_panic() {
    let mut random = fastrand::Rng::with_seed(7);
    for (name, text) in super::builtins() {
        for _ in 0..500 {
            let mut bytes = text.as_bytes().to_vec();
            for _ in 0..random.usize(1..6) {
                let at = random.usize(..bytes.len());
                match random.u8(..3) {
                    0 => bytes[at] = b"[]{}=\"'.\\\n#,0az \xff"[random.usize(..17)],
                    1 => bytes.truncate(at.max(1)),
                    _ => bytes.insert(at, random.u8(..)),
                }
            }
            let text = String::from_utf8_lossy(&bytes);
            if let Err(error) = Script::parse(name, &text) {
                assert!(error.starts_with(&format!("{name}:")), "{error}");
                assert_eq!(error.lines().count(), 1, "{error}");
            }
        }
    }
}
