//! One line of an uploaders file.

use super::super::fault::printable;
use super::super::{glob, nearest};
use super::{By, Condition, Key, KeyId, List, Quantity};

/// What a line says.
pub(super) enum Statement {
    Allow(Condition, By),
    Add(String, Key),
    Contains(String, String),
    Empty(String),
    Unused(String),
    Include(String),
}

/// A word, a text in quotes, or the `|` between such texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Quoted(&'a str),
    Pipe,
}

const PARTS: [&str; 6] = [
    "source",
    "sections",
    "binaries",
    "architectures",
    "byhand",
    "distribution",
];

/// Parses one line that is neither empty nor a comment; the error is what is wrong with it.
pub(super) fn statement(line: &str) -> Result<Statement, String> {
    let (first, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    match first {
        "include" => match rest.trim() {
            "" => Err("the name of the file is missing".into()),
            name => Ok(Statement::Include(name.into())),
        },
        "allow" | "group" => {
            let mut parser = Parser { tokens: tokens(rest)? };
            let statement = if first == "allow" {
                parser.allow()?
            } else {
                parser.group()?
            };
            match parser.next() {
                None => Ok(statement),
                Some(token) => Err(format!("unexpected {} after the statement", quoted(token))),
            }
        }
        _ => Err(format!(
            "unknown statement `{}`: must be allow, group or include",
            printable(first)
        )),
    }
}

fn tokens(line: &str) -> Result<Vec<Token<'_>>, String> {
    let mut tokens = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        if first == '\'' {
            let inner = rest.get(1..).unwrap_or_default();
            let Some((text, after)) = inner.split_once('\'') else {
                return Err(format!("the quote in `{}` is not closed", printable(rest)));
            };
            tokens.push(Token::Quoted(text));
            rest = after;
        } else if let Some(after) = rest.strip_prefix('|') {
            tokens.push(Token::Pipe);
            rest = after;
        } else {
            let end = rest.find([' ', '\t', '\'', '|']).unwrap_or(rest.len());
            let (word, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
            tokens.push(Token::Word(word));
            rest = after;
        }
        rest = rest.trim_start();
    }
    tokens.reverse();
    Ok(tokens)
}

/// Where something was expected, for an error.
fn shown(token: Option<Token<'_>>) -> String {
    token.map_or_else(|| "at the end".into(), |token| format!("at {}", quoted(token)))
}

fn quoted(token: Token<'_>) -> String {
    match token {
        Token::Word(text) => format!("`{}`", printable(text)),
        Token::Quoted(text) => format!("`'{}'`", printable(text)),
        Token::Pipe => "`|`".into(),
    }
}

struct Parser<'a> {
    /// What is left, the next one last.
    tokens: Vec<Token<'a>>,
}

impl<'a> Parser<'a> {
    fn next(&mut self) -> Option<Token<'a>> {
        self.tokens.pop()
    }

    fn take(&mut self, token: Token<'_>) -> bool {
        let is_next = self.tokens.last() == Some(&token);
        if is_next {
            self.tokens.pop();
        }
        is_next
    }

    fn take_word(&mut self, missing: &str) -> Result<&'a str, String> {
        match self.next() {
            Some(Token::Word(word)) => Ok(word),
            None => Err(missing.into()),
            other => Err(format!("expected a word {}", shown(other))),
        }
    }

    /// After `allow`.
    fn allow(&mut self) -> Result<Statement, String> {
        let mut all = Vec::new();
        let mut any = Vec::new();
        loop {
            any.push(self.part()?);
            match self.next() {
                Some(Token::Word("or")) => {}
                Some(Token::Word("and")) => all.push(Condition::Any(std::mem::take(&mut any))),
                Some(Token::Word("by")) => break,
                other => return Err(format!("expected `by`, `and` or `or` {}", shown(other))),
            }
        }
        all.push(Condition::Any(any));
        Ok(Statement::Allow(Condition::All(all), self.by()?))
    }

    fn by(&mut self) -> Result<By, String> {
        match self.next() {
            Some(Token::Word("anybody")) => Ok(By::Anybody),
            Some(Token::Word("unsigned")) => Ok(By::Unsigned),
            Some(Token::Word("any")) if self.take(Token::Word("key")) => Ok(By::AnyKey),
            Some(Token::Word("key")) => self.key().map(By::Key),
            Some(Token::Word("group")) => {
                let name = self.take_word("the name of the group is missing")?;
                Ok(By::Group(name.into()))
            }
            other => Err(format!(
                "expected anybody, unsigned, any key, key or group {}",
                shown(other)
            )),
        }
    }

    /// After `group`.
    fn group(&mut self) -> Result<Statement, String> {
        let name = self.take_word("the name of the group is missing")?.to_owned();
        match self.next() {
            Some(Token::Word("add")) => Ok(Statement::Add(name, self.key()?)),
            Some(Token::Word("contains")) => {
                let other = self.take_word("the name of the other group is missing")?;
                Ok(Statement::Contains(name, other.into()))
            }
            Some(Token::Word("empty")) => Ok(Statement::Empty(name)),
            Some(Token::Word("unused")) => Ok(Statement::Unused(name)),
            other => Err(format!("expected add, contains, empty or unused {}", shown(other))),
        }
    }

    fn key(&mut self) -> Result<Key, String> {
        let word = self.take_word("the key is missing")?;
        let (id, with_subkeys) = match word.strip_suffix('+') {
            Some(id) => (id, true),
            None => (word, false),
        };
        let id = KeyId::new(id).map_err(|error| error.to_string())?;
        Ok(Key { id, with_subkeys })
    }

    fn part(&mut self) -> Result<Condition, String> {
        if self.take(Token::Word("not")) {
            return Ok(Condition::Not(Box::new(self.positive_part()?)));
        }
        self.positive_part()
    }

    fn positive_part(&mut self) -> Result<Condition, String> {
        match self.take_word("the condition is missing")? {
            "*" => Ok(Condition::Always),
            "source" => Ok(Condition::Source(self.names()?)),
            "distribution" => Ok(Condition::Distribution(self.names()?)),
            "sections" => self.list(List::Sections),
            "binaries" => self.list(List::Binaries),
            "architectures" => self.list(List::Architectures),
            "byhand" => {
                let patterns = match self.tokens.last() {
                    Some(Token::Quoted(_)) => self.names()?,
                    _ => vec!["*".into()],
                };
                Ok(Condition::Contains(List::ByhandSections, Quantity::AllAndOne, patterns))
            }
            unknown => Err(match nearest(unknown, PARTS) {
                Some(known) => format!("unknown condition `{}`, did you mean `{known}`", printable(unknown)),
                None => format!("unknown condition `{}`", printable(unknown)),
            }),
        }
    }

    fn list(&mut self, list: List) -> Result<Condition, String> {
        let quantity = if self.take(Token::Word("contain")) {
            Quantity::One
        } else {
            Quantity::All
        };
        let names = self.names()?;
        match names.iter().find(|name| glob::is_pattern(name)) {
            Some(name) if list == List::Architectures => Err(format!(
                "`{}` is a pattern: architectures are named as they are",
                printable(name)
            )),
            _ => Ok(Condition::Contains(list, quantity, names)),
        }
    }

    /// `'a'|'b'`
    fn names(&mut self) -> Result<Vec<String>, String> {
        let mut names = Vec::new();
        loop {
            match self.next() {
                Some(Token::Quoted(name)) => names.push(name.to_owned()),
                other => return Err(format!("expected a name in quotes, as in `'name'`, {}", shown(other))),
            }
            if !self.take(Token::Pipe) {
                return Ok(names);
            }
        }
    }
}
