//! Random but repeatable distributions, update rules and filter lists for the upstreams of `nights`.

use std::fmt::Write;

use super::Dice;
use super::nights::names;

/// Distributions, update rules and filter lists, all random.
pub struct Mirrors {
    pub codenames: Vec<&'static str>,
    /// Files of conf/ with their content.
    pub files: Vec<(String, String)>,
}

impl Mirrors {
    /// Rules for the upstreams that are at `address`.
    pub fn new(seed: u64, address: &str) -> Self {
        let mut maker = Maker {
            dice: Dice::new(seed ^ 0x5eed),
            files: Vec::new(),
        };
        let updates = maker.updates(address);
        let distributions = maker.distributions();
        let mut files = maker.files;
        files.push(("updates".into(), updates));
        files.push(("override".into(), OVERRIDE.into()));
        files.push(("distributions".into(), distributions));
        Self {
            codenames: DISTRIBUTIONS.to_vec(),
            files,
        }
    }
}

impl Mirrors {
    /// Turns every word of a filter list, if there is one, into another; gives its name and text.
    pub fn edit(&mut self, dice: &mut Dice) -> Option<(&str, &str)> {
        let is_list = |(name, _): &&mut (String, String)| name.starts_with("list");
        let count = self.files.iter_mut().filter(is_list).count();
        let at = dice.roll(count.max(1));
        let (name, text) = self.files.iter_mut().filter(is_list).nth(at)?;
        let line = |line: &str| match line.split_once(' ') {
            Some((package, "install")) => format!("{package} hold\n"),
            Some((package, "hold")) => format!("{package} supersede\n"),
            Some((package, "supersede")) => format!("{package} upgradeonly\n"),
            Some((package, "upgradeonly" | "deinstall")) => format!("{package} install\n"),
            _ => format!("{line}\n"),
        };
        *text = text.lines().map(line).collect();
        Some((name, text))
    }
}

const DISTRIBUTIONS: [&str; 4] = ["stable", "grown", "mixed", "tracked"];
/// Names of rules beside the plain ones.
const ODD_RULES: [&str; 6] = ["renamed", "crossed", "flat", "picky", "fussy", "binaries"];
const PLAIN_RULES: [&str; 3] = ["base", "updates", "security"];
const FORMULAS: [&str; 11] = [
    "Section (== utils)",
    "$Version (>= 1.0)",
    "$Version (<< 2), Package (% lib*) | Package (% *o*)",
    "Priority (!= extra)",
    "!Essential, Version (!% *rc*)",
    "$Source (== hello) | $Source (== libfoo) | $Type (== udeb)",
    "$Component (== main) | Section (% w*)",
    "Architecture (== all) | $Type (== dsc)",
    "$Architecture (== amd64), Package (>= h)",
    "( Package (== tool), $SourceVersion (>> 2) ) | Source | Directory",
    "Package (% [a-l]*)",
];

/// Names, fields and values; of a source it changes what it names, too.
const OVERRIDE: &str = "libfoo-dev Section libdevel\nlibfoo-dev Task developing\ntool Priority extra\ntool Section utils\n\
    shared-bin Section ours\n";

/// Makes up a configuration.
struct Maker {
    dice: Dice,
    files: Vec<(String, String)>,
}

impl Maker {
    fn updates(&mut self, address: &str) -> String {
        let mut text = format!(
            "Name: base\nMethod: {address}\nSuite: stable\nComponents: main contrib\nVerifyRelease: blindtrust\nGetInRelease: no\n{}\n\
             Name: updates\nFrom: base\nSuite: stable-updates\n{}\n\
             Name: security\nFrom: base\nSuite: stable/updates\n{}\n",
            self.filters(4),
            self.filters(4),
            self.filters(3)
        );
        let renamed = *self.dice.pick(&[
            "Components: non-free>vendor/hp",
            "Components: main non-free>vendor/hp contrib>main\nUDebComponents: main",
            "Components: contrib>main non-free>contrib\nUDebComponents: contrib>main",
            "Components: main>vendor/hp\nUDebComponents:",
        ]);
        let crossed = *self.dice.pick(&[
            "Architectures: amd64 amd64>i386",
            "Architectures: i386>amd64 source",
            "Architectures: amd64>i386 i386>amd64",
        ]);
        let flat = *self.dice.pick(&["vendor/hp", "main"]);
        write!(
            text,
            "Name: renamed\nFrom: {}\n{renamed}\n{}\nName: crossed\nFrom: {}\n{crossed}\n{}\n\
             Name: flat\nMethod: {address}\nSuite: flat\nFlat: {flat}\nVerifyRelease: blindtrust\nGetInRelease: no\n{}\n",
            self.dice.pick(&PLAIN_RULES),
            self.filters(3),
            self.dice.pick(&PLAIN_RULES),
            self.filters(3),
            self.filters(3),
        )
        .unwrap_or_default();
        for name in ["picky", "fussy"] {
            let from = *self.dice.pick(&PLAIN_RULES);
            write!(text, "Name: {name}\nFrom: {from}\n{}\n", self.filters(1)).unwrap_or_default();
        }
        let from = *self.dice.pick(&["updates", "renamed"]);
        text + &format!(
            "Name: binaries\nFrom: {from}\nArchitectures: amd64 i386\nUDebComponents:\n{}",
            self.filters(3)
        )
    }

    /// Filters, or none in all but one of so many rules.
    fn filters(&mut self, one_in: usize) -> String {
        if self.dice.roll(one_in) != 0 {
            return String::new();
        }
        let mut text = String::new();
        let kind = self.dice.roll(8);
        if kind < 5 {
            text += &format!("FilterList: {}\n", self.filter_list());
        }
        if (4..7).contains(&kind) {
            text += &format!("FilterSrcList: {}\n", self.filter_list());
        }
        if kind > 5 || self.dice.roll(4) == 0 {
            text += &format!("FilterFormula: {}\n", self.dice.pick(&FORMULAS));
        }
        if self.dice.roll(4) == 0 {
            text += "OmitExtraSourceOnly: no\n";
        }
        if self.dice.roll(6) == 0 {
            text += "ListShellHook: sed -e 's/^Priority: extra$/Priority: optional/'\n";
        }
        text
    }

    /// A default action and a file or two.
    fn filter_list(&mut self) -> String {
        let defaults = [
            "install",
            "install",
            "deinstall",
            "upgradeonly",
            "hold",
            "purge",
            "supersede",
        ];
        let mut text = (*self.dice.pick(&defaults)).to_owned();
        for _ in 0..=self.dice.roll(2) {
            let name = format!("list{}", self.files.len());
            let mut list = String::from("# what goes where\n\n");
            for package in names() {
                if !list.contains(&format!("\n{package} ")) && self.dice.roll(2) == 0 {
                    let action = match self.dice.roll(9) {
                        0 | 1 => "install",
                        2 => "hold",
                        3 => "supersede",
                        4 => "deinstall",
                        5 => "purge",
                        6 => "upgradeonly",
                        7 => "warning",
                        _ => *self.dice.pick(&["= 1.0-2", "= 2", "= 1:1.0-1", "= 0.2-1", "= 1.3-1"]),
                    };
                    list += &format!("{package} {action}\n");
                }
            }
            self.files.push((name.clone(), list));
            text += &format!(" {name}");
        }
        text
    }

    fn distributions(&mut self) -> String {
        let mut text = String::new();
        for codename in DISTRIBUTIONS {
            let update = match codename {
                "stable" => "- base updates security".to_owned(),
                "grown" => format!("base updates {}", self.dice.pick(&ODD_RULES)),
                _ => self.update(),
            };
            let tracking = if codename == "tracked" {
                "Tracking: minimal\n"
            } else {
                ""
            };
            let order = if self.dice.roll(2) == 0 {
                "amd64 i386"
            } else {
                "i386 amd64"
            };
            text += &format!(
                "Codename: {codename}\nArchitectures: {order} source\nComponents: main contrib vendor/hp\n\
                 UDebComponents: main\nDebIndices: Packages . .gz\nUDebIndices: Packages . .gz\nDscIndices: Sources . .gz\n\
                 DebOverride: override\nDscOverride: override\nLog: {codename}.log\n{tracking}Update: {update}\n\n"
            );
        }
        text
    }

    /// Rules in any order, among them mostly one `-`.
    fn update(&mut self) -> String {
        let mut rules = Vec::new();
        let all: Vec<&str> = PLAIN_RULES.into_iter().chain(ODD_RULES).collect();
        for _ in 0..3 + self.dice.roll(3) {
            let rule = *self.dice.pick(&all);
            if !rules.contains(&rule) {
                rules.push(rule);
            }
        }
        match self.dice.roll(6) {
            0 => {}
            1 | 2 => rules.insert(self.dice.roll(rules.len()), "-"),
            _ => rules.insert(0, "-"),
        }
        rules.join(" ")
    }
}
