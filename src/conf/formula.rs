//! Formulas over packages, as `FilterFormula` and the commands `listfilter`, `removefilter` and `copyfilter` take
//! them: `Priority (== required), Section (== net) | $Source (% linux*)`.
//!
//! ```text
//! formula := or { ',' or }                     ',' is "and" and binds weakest
//! or      := atom { '|' atom }
//! atom    := '(' formula ')' | [ '!' ] name [ '(' operator value ')' ]
//! ```

use std::borrow::Cow;
use std::cmp::Ordering;

use super::fault::printable;
use super::{glob, nearest};
use crate::model::{Architecture, Component, PackageType, Version};

const MAX_DEPTH: usize = 50;
const MAX_BYTES: usize = 64 << 10;

/// A text that is no formula.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid formula: {problem} at `{rest}`")]
pub struct FormulaError {
    /// What is wrong.
    pub problem: String,
    /// The text from there on, cut to a printable length.
    pub rest: String,
}

/// What a formula asks a package for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A field of the package's stanza, its name in any case.
    Field(String),
    /// `$Version`: the package's version.
    Version,
    /// `$SourceVersion`: the version of its source.
    SourceVersion,
    /// `$Source`: the name of its source.
    Source,
    /// `$Architecture`: that of the index where it is or will be, `source` for sources.
    Architecture,
    /// `$Component`: that of the index.
    Component,
    /// `$Type`, `$PackageType`: that of the index.
    Type,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Is(Ordering),
    IsNot(Ordering),
    Like,
    Unlike,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    Present {
        field: String,
        wanted: bool,
    },
    Compare {
        subject: Subject,
        operator: Operator,
        value: String,
    },
}

/// A parsed formula.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Formula(Node);

impl Formula {
    /// Parses a formula.
    ///
    /// As in dpkg, `<` and `>` mean `<=` and `>=`, `=` means `==`.
    ///
    /// # Errors
    /// The text breaks the grammar, or compares with a value that can never occur.
    pub fn parse(text: &str) -> Result<Self, FormulaError> {
        let mut parser = Parser { rest: text, depth: 0 };
        if text.len() > MAX_BYTES {
            return Err(parser.error(format!("it is longer than {MAX_BYTES} bytes")));
        }
        let node = parser.formula()?;
        if parser.rest.is_empty() {
            Ok(Self(node))
        } else {
            Err(parser.error("expected `,` or `|` or the end"))
        }
    }

    /// The names of architectures and components that it compares `$Architecture` and `$Component` with.
    #[must_use]
    pub fn named(&self) -> Vec<(&Subject, &str)> {
        let mut named = Vec::new();
        self.0.collect_named(&mut named);
        named
    }

    /// Whether a package fulfils it; `lookup` says what the package has, `None` for a field that is absent.
    pub fn holds<'a>(&self, lookup: impl Fn(&Subject) -> Option<Cow<'a, str>>) -> bool {
        self.0.holds(&lookup)
    }
}

impl Node {
    fn collect_named<'a>(&'a self, named: &mut Vec<(&'a Subject, &'a str)>) {
        match self {
            Self::All(nodes) | Self::Any(nodes) => nodes.iter().for_each(|node| node.collect_named(named)),
            Self::Compare {
                subject: subject @ (Subject::Architecture | Subject::Component),
                operator: Operator::Is(Ordering::Equal) | Operator::IsNot(Ordering::Equal),
                value,
            } => named.push((subject, value)),
            Self::Present { .. } | Self::Compare { .. } => {}
        }
    }

    fn holds<'a>(&self, lookup: &dyn Fn(&Subject) -> Option<Cow<'a, str>>) -> bool {
        match self {
            Self::All(nodes) => nodes.iter().all(|node| node.holds(lookup)),
            Self::Any(nodes) => nodes.iter().any(|node| node.holds(lookup)),
            Self::Present { field, wanted } => lookup(&Subject::Field(field.clone())).is_some() == *wanted,
            Self::Compare {
                subject,
                operator,
                value,
            } => match (lookup(subject), operator) {
                (Some(found), _) => compare(subject, &found, *operator, value),
                // an absent field differs from every value and is like none
                (None, Operator::IsNot(Ordering::Equal) | Operator::Unlike) => true,
                (None, _) => false,
            },
        }
    }
}

fn compare(subject: &Subject, found: &str, operator: Operator, value: &str) -> bool {
    let order = || match subject {
        Subject::Version | Subject::SourceVersion => {
            Some(Version::new(found).ok()?.compare(&Version::new(value).ok()?))
        }
        _ => Some(found.cmp(value)),
    };
    match operator {
        Operator::Like => glob::matches(value, found),
        Operator::Unlike => !glob::matches(value, found),
        Operator::Is(wanted) => order() == Some(wanted),
        Operator::IsNot(unwanted) => order().is_some_and(|order| order != unwanted),
    }
}

struct Parser<'a> {
    rest: &'a str,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn error(&self, problem: impl Into<String>) -> FormulaError {
        FormulaError {
            problem: problem.into(),
            rest: printable(self.rest),
        }
    }

    fn skip_spaces(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, token: &str) -> bool {
        self.skip_spaces();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                self.skip_spaces();
                true
            }
            None => false,
        }
    }

    fn formula(&mut self) -> Result<Node, FormulaError> {
        let mut all = vec![self.alternatives()?];
        while self.take(",") {
            all.push(self.alternatives()?);
        }
        Ok(Node::All(all))
    }

    fn alternatives(&mut self) -> Result<Node, FormulaError> {
        let mut any = vec![self.atom()?];
        while self.take("|") {
            any.push(self.atom()?);
        }
        Ok(Node::Any(any))
    }

    fn atom(&mut self) -> Result<Node, FormulaError> {
        if self.take("(") {
            if self.depth == MAX_DEPTH {
                return Err(self.error(format!("more than {MAX_DEPTH} parentheses in each other")));
            }
            self.depth += 1;
            let node = self.formula()?;
            self.depth -= 1;
            return if self.take(")") {
                Ok(node)
            } else {
                Err(self.error("expected `)`"))
            };
        }
        let is_negated = match self.rest.strip_prefix('!') {
            Some(rest) if rest.starts_with(|c: char| c.is_whitespace() || c == '(') => {
                return Err(self.error("`!` must stand directly before a field's name"));
            }
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        };
        let before = self.rest;
        let subject = self.subject()?;
        if self.take("(") {
            if is_negated {
                return Err(self.error("a comparison cannot be negated with `!`: use the opposite operator"));
            }
            return self.comparison(subject);
        }
        match subject {
            Subject::Field(field) => Ok(Node::Present {
                field,
                wanted: !is_negated,
            }),
            _ => {
                self.rest = before;
                Err(self.error("a name that starts with `$` needs a comparison"))
            }
        }
    }

    fn subject(&mut self) -> Result<Subject, FormulaError> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '$' | '.' | '+');
        let end = self.rest.find(|c| !is_name(c)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at_checked(end).unwrap_or(("", self.rest));
        if name.is_empty() {
            return Err(self.error("expected a field's name"));
        }
        const SPECIAL: [(&str, Subject); 7] = [
            ("$Version", Subject::Version),
            ("$SourceVersion", Subject::SourceVersion),
            ("$Source", Subject::Source),
            ("$Architecture", Subject::Architecture),
            ("$Component", Subject::Component),
            ("$Type", Subject::Type),
            ("$PackageType", Subject::Type),
        ];
        let subject = if name.starts_with('$') {
            let Some((_, subject)) = SPECIAL.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) else {
                let known = nearest(name, SPECIAL.iter().map(|(known, _)| *known));
                return Err(self.error(match known {
                    Some(known) => format!("unknown name `{}`, did you mean `{known}`,", printable(name)),
                    None => format!("unknown name `{}`", printable(name)),
                }));
            };
            subject.clone()
        } else {
            Subject::Field(name.to_owned())
        };
        self.rest = rest;
        Ok(subject)
    }

    /// The rest of a comparison, after its `(`.
    fn comparison(&mut self, subject: Subject) -> Result<Node, FormulaError> {
        const OPERATORS: [(&str, Operator); 11] = [
            ("==", Operator::Is(Ordering::Equal)),
            ("!=", Operator::IsNot(Ordering::Equal)),
            (">=", Operator::IsNot(Ordering::Less)),
            ("<=", Operator::IsNot(Ordering::Greater)),
            (">>", Operator::Is(Ordering::Greater)),
            ("<<", Operator::Is(Ordering::Less)),
            ("!%", Operator::Unlike),
            ("%", Operator::Like),
            ("=", Operator::Is(Ordering::Equal)),
            (">", Operator::IsNot(Ordering::Less)),
            ("<", Operator::IsNot(Ordering::Greater)),
        ];
        let Some(operator) = OPERATORS
            .into_iter()
            .find_map(|(token, operator)| self.take(token).then_some(operator))
        else {
            return Err(self.error("expected one of `==`, `!=`, `>=`, `<=`, `>>`, `<<`, `%` and `!%`"));
        };
        let Some((value, rest)) = self.rest.split_once(')') else {
            return Err(self.error("expected a value and `)`"));
        };
        let value = value.trim_end();
        if value.is_empty() {
            return Err(self.error("expected a value"));
        }
        if let Err(problem) = check_value(&subject, operator, value) {
            return Err(self.error(problem));
        }
        self.rest = rest;
        self.skip_spaces();
        Ok(Node::Compare {
            subject,
            operator,
            value: value.to_owned(),
        })
    }
}

/// Refuses a value that can never occur.
fn check_value(subject: &Subject, operator: Operator, value: &str) -> Result<(), String> {
    if matches!(operator, Operator::Like | Operator::Unlike) {
        return Ok(());
    }
    match subject {
        Subject::Version | Subject::SourceVersion => Version::new(value).map(drop).map_err(|error| error.to_string()),
        Subject::Architecture if value == "source" => Ok(()),
        Subject::Architecture => Architecture::new(value).map(drop).map_err(|error| error.to_string()),
        Subject::Component => Component::new(value).map(drop).map_err(|error| error.to_string()),
        Subject::Type => (value.parse::<PackageType>().map(drop)).map_err(|error| error.to_string()),
        Subject::Field(_) | Subject::Source => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(formula: &str) -> bool {
        Formula::parse(formula).unwrap().holds(|subject| match subject {
            Subject::Field(name) => match name.to_ascii_lowercase().as_str() {
                "package" => Some("hello".into()),
                "section" => Some("net".into()),
                _ => None,
            },
            Subject::Version => Some("1.10-1".into()),
            Subject::SourceVersion => Some("1.9-1".into()),
            Subject::Source => Some("greetings".into()),
            Subject::Architecture => Some("amd64".into()),
            Subject::Component => Some("main".into()),
            Subject::Type => Some("deb".into()),
        })
    }

    #[test]
    fn formulas_hold_as_in_reprepro() {
        for formula in [
            "Package",
            "!Priority",
            "package (== hello)",
            "Package(==hello)",
            "Package (% hel*)",
            "Package (!% x*), Section (== net)",
            "Section (== mail) | Section (== net), Package",
            "Section (== net), (Package (== x) | Package (== hello))",
            "$Version (>> 1.9-1)",
            "$Version (< 1.10-1)",
            "$SourceVersion (= 1.9-1)",
            "$Source (== greetings), $Architecture (!= source), $Component (== main), $PackageType (== deb)",
            "Priority (!= required)",
            "Priority (!% r*)",
            "Package (<= hello), Package (>= hello)",
        ] {
            assert!(holds(formula), "{formula}");
        }
        for formula in [
            "Priority",
            "!Package",
            "Package (== hell)",
            "Package (== hello), Section (== mail)",
            "Priority (== required)",
            "Priority (<= z)",
            "$Version (<= 1.9-1)",
        ] {
            assert!(!holds(formula), "{formula}");
        }
    }

    #[test]
    fn what_is_no_formula_is_refused() {
        for (text, problem) in [
            ("", "expected a field's name at ``"),
            ("a b", "expected `,` or `|` or the end at `b`"),
            ("a,", "expected a field's name at ``"),
            ("! a", "`!` must stand directly before a field's name at `! a`"),
            ("!(a)", "`!` must stand directly before a field's name at `!(a)`"),
            ("(a", "expected `)` at ``"),
            (
                "a (~ b)",
                "expected one of `==`, `!=`, `>=`, `<=`, `>>`, `<<`, `%` and `!%` at `~ b)`",
            ),
            ("a (== b", "expected a value and `)` at `b`"),
            ("a (== )", "expected a value at `)`"),
            (
                "$Version",
                "a name that starts with `$` needs a comparison at `$Version`",
            ),
            (
                "$Vresion (== 1)",
                "unknown name `$Vresion`, did you mean `$Version`, at `$Vresion (== 1)`",
            ),
            (
                "$Type (== rpm)",
                "invalid package type `rpm`: must be deb, udeb or dsc at `rpm)`",
            ),
        ] {
            assert_eq!(
                Formula::parse(text).unwrap_err().to_string(),
                format!("invalid formula: {problem}")
            );
        }
        assert!(Formula::parse(&"(".repeat(60_000)).is_err());
        assert!(Formula::parse(&format!("{}a{}", "(".repeat(50), ")".repeat(50))).is_ok());
    }
}
