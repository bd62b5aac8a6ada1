//! Plain text out of HTML: tags go, blocks become lines, entities become letters.
//!
//! Nothing is ever shown as HTML from here on, so this is about readable text and not about safety.

/// The plain text, at most `most` characters; whether it was cut.
pub fn plain(html: &str, most: usize) -> (String, bool) {
    let mut text = Text::default();
    let mut rest = html;
    while let Some(place) = rest.find(['<', '&']) {
        text.add(&rest[..place]);
        rest = &rest[place..];
        rest = if rest.starts_with('<') {
            tag(rest, &mut text)
        } else {
            entity(rest, &mut text)
        };
    }
    text.add(rest);
    text.finish(most)
}

/// Text with its white space folded as a browser does.
#[derive(Default)]
struct Text {
    out: String,
    /// How many line ends, and whether a space, come before the next letter.
    lines: usize,
    space: bool,
}

impl Text {
    fn add(&mut self, text: &str) {
        text.chars().for_each(|letter| self.letter(letter));
    }

    fn letter(&mut self, letter: char) {
        if letter.is_whitespace() {
            self.space = true;
            return;
        }
        if letter.is_control() {
            return;
        }
        if !self.out.is_empty() {
            if self.lines > 0 {
                self.out
                    .extend(std::iter::repeat_n('\n', self.lines.min(2)));
            } else if self.space {
                self.out.push(' ');
            }
        }
        (self.lines, self.space) = (0, false);
        self.out.push(letter);
    }

    fn line(&mut self, lines: usize) {
        self.lines = self.lines.max(lines);
        self.space = false;
    }

    fn finish(mut self, most: usize) -> (String, bool) {
        let Some((cut, _)) = self.out.char_indices().nth(most) else {
            return (self.out, false);
        };
        self.out.truncate(cut);
        if let Some((last, _)) = self.out.char_indices().next_back() {
            self.out.truncate(last);
            self.out.truncate(self.out.trim_end().len());
            self.out.push('…');
        }
        (self.out, true)
    }
}

/// What follows a tag, a comment, or a lone `<`.
fn tag<'a>(rest: &'a str, text: &mut Text) -> &'a str {
    if let Some(comment) = rest.strip_prefix("<!--") {
        return comment.split_once("-->").map_or("", |(_, after)| after);
    }
    let inner = &rest[1..];
    let starts = |letter: char| letter.is_ascii_alphabetic() || matches!(letter, '/' | '!' | '?');
    if !inner.starts_with(starts) {
        text.letter('<');
        return inner;
    }
    let Some(end) = tag_end(inner) else {
        text.letter('<');
        return inner;
    };
    let after = &inner[end + 1..];
    let closing = inner.starts_with('/');
    let name: String = inner[usize::from(closing)..]
        .chars()
        .take_while(char::is_ascii_alphanumeric)
        .map(|letter| letter.to_ascii_lowercase())
        .collect();
    match name.as_str() {
        "script" | "style" | "template" if !closing => {
            let is_end = |place: &usize| {
                let found = after.as_bytes()[place + 2..].get(..name.len());
                found.is_some_and(|found| found.eq_ignore_ascii_case(name.as_bytes()))
            };
            let place = after
                .match_indices("</")
                .map(|(place, _)| place)
                .find(is_end);
            return place.map_or("", |place| &after[place..]);
        }
        "br" => text.line(1),
        "li" if !closing => {
            text.line(1);
            text.add("- ");
            text.space = true;
        }
        "p" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "ul" | "ol" | "table" | "blockquote" => {
            text.line(2);
        }
        "div" | "li" | "tr" | "section" | "article" | "hr" | "dt" | "dd" | "pre" => text.line(1),
        "td" | "th" => text.space = true,
        _ => {}
    }
    after
}

/// The longest tag; looking no farther keeps torn ones from costing the square of the text.
const TAG_MAX: usize = 4_096;

/// Where a tag ends: a `>` outside quotes, or the first one when a quote is never closed.
fn tag_end(inner: &str) -> Option<usize> {
    let mut quote = None;
    for (place, byte) in inner.bytes().enumerate().take(TAG_MAX) {
        match (quote, byte) {
            (None, b'>') => return Some(place),
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), byte) if open == byte => quote = None,
            _ => {}
        }
    }
    inner.bytes().take(TAG_MAX).position(|byte| byte == b'>')
}

/// The longest entity that is looked for.
const ENTITY_MAX: usize = 12;

/// What follows an entity, or a lone `&`.
fn entity<'a>(rest: &'a str, text: &mut Text) -> &'a str {
    let inner = &rest[1..];
    let near = inner.bytes().take(ENTITY_MAX).position(|byte| byte == b';');
    if let Some((end, letter)) = near.and_then(|end| Some((end, letter_of(&inner[..end])?))) {
        if letter == '\u{a0}' {
            text.space = true;
        } else {
            text.letter(letter);
        }
        return &inner[end + 1..];
    }
    text.letter('&');
    inner
}

/// The letter that an entity stands for, without `&` and `;`.
pub fn letter_of(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => number.parse().ok()?,
        };
        return char::from_u32(code).filter(|letter| *letter != '\0');
    }
    NAMED
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, letter)| *letter)
}

/// The names that product texts use; others stay as they are written.
const NAMED: &[(&str, char)] = &[
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("apos", '\''),
    ("nbsp", '\u{a0}'),
    ("ndash", '–'),
    ("mdash", '—'),
    ("hellip", '…'),
    ("bull", '•'),
    ("middot", '·'),
    ("lsquo", '‘'),
    ("rsquo", '’'),
    ("sbquo", '‚'),
    ("ldquo", '“'),
    ("rdquo", '”'),
    ("bdquo", '„'),
    ("laquo", '«'),
    ("raquo", '»'),
    ("copy", '©'),
    ("reg", '®'),
    ("trade", '™'),
    ("deg", '°'),
    ("times", '×'),
    ("divide", '÷'),
    ("plusmn", '±'),
    ("frac12", '½'),
    ("frac14", '¼'),
    ("frac34", '¾'),
    ("sup2", '²'),
    ("sup3", '³'),
    ("micro", 'µ'),
    ("euro", '€'),
    ("pound", '£'),
    ("yen", '¥'),
    ("cent", '¢'),
    ("sect", '§'),
    ("para", '¶'),
    ("iexcl", '¡'),
    ("iquest", '¿'),
    ("shy", '\u{ad}'),
    ("auml", 'ä'),
    ("ouml", 'ö'),
    ("uuml", 'ü'),
    ("Auml", 'Ä'),
    ("Ouml", 'Ö'),
    ("Uuml", 'Ü'),
    ("szlig", 'ß'),
    ("agrave", 'à'),
    ("aacute", 'á'),
    ("acirc", 'â'),
    ("atilde", 'ã'),
    ("aring", 'å'),
    ("aelig", 'æ'),
    ("ccedil", 'ç'),
    ("egrave", 'è'),
    ("eacute", 'é'),
    ("ecirc", 'ê'),
    ("euml", 'ë'),
    ("igrave", 'ì'),
    ("iacute", 'í'),
    ("icirc", 'î'),
    ("iuml", 'ï'),
    ("ntilde", 'ñ'),
    ("ograve", 'ò'),
    ("oacute", 'ó'),
    ("ocirc", 'ô'),
    ("otilde", 'õ'),
    ("oslash", 'ø'),
    ("ugrave", 'ù'),
    ("uacute", 'ú'),
    ("ucirc", 'û'),
    ("Agrave", 'À'),
    ("Aacute", 'Á'),
    ("Acirc", 'Â'),
    ("Aring", 'Å'),
    ("AElig", 'Æ'),
    ("Ccedil", 'Ç'),
    ("Egrave", 'È'),
    ("Eacute", 'É'),
    ("Ecirc", 'Ê'),
    ("Ntilde", 'Ñ'),
    ("Oslash", 'Ø'),
    ("oelig", 'œ'),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(html: &str) -> String {
        plain(html, 1_000).0
    }

    #[test]
    fn html_becomes_text() {
        for (html, wanted) in [
            (
                "<p>Classic blown clay pot for plants</p>",
                "Classic blown clay pot for plants",
            ),
            ("no tags at all. ", "no tags at all."),
            ("<p>One</p>\n<p>Two<br>Three</p>", "One\n\nTwo\nThree"),
            ("<ul><li>red</li><li>blue</li></ul>", "- red\n- blue"),
            (
                "a &lt;b&gt; &amp;&nbsp;c &eacute;&#233;&#xE9; &unknown; &",
                "a <b> & c ééé &unknown; &",
            ),
            ("5 < 6 and <b>bold</b><i >it</i>", "5 < 6 and boldit"),
            ("<a href=\"x>y\" title='>'>link</a>", "link"),
            (
                "x<script>alert('<p>')</script>y<style>p{}</style>z<!-- no --> w",
                "xyz w",
            ),
            ("torn <a href=\"x>y", "torn y"),
            ("torn <a href", "torn <a href"),
            ("<!-- never closed", ""),
            ("<table><tr><td>a</td><td>b</td></tr></table>", "a b"),
            ("tab\tand\u{0}nul", "tab andnul"),
        ] {
            assert_eq!(text(html), wanted, "{html}");
        }
    }

    #[test]
    fn long_text_is_cut_at_a_letter() {
        assert_eq!(plain("ééééé", 5), ("ééééé".into(), false));
        assert_eq!(plain("éééééé", 5), ("éééé…".into(), true));
    }

    proptest! {
        #[test]
        fn anything_gives_text_that_may_be_kept(html in "[<>/!a-z &;#x\"'\n\u{0}é-]{0,200}", most in 1usize..50) {
            let (text, _) = plain(&html, most);
            prop_assert!(text.chars().count() <= most);
            prop_assert!(text.chars().all(|letter| letter == '\n' || !letter.is_control()));
            prop_assert_eq!(text.trim(), text.as_str());
        }
    }
}
