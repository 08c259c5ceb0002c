//! Users and bearer tokens: accepted forms, and the check of a credential.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use parking_lot::Mutex;
use ring::hmac;
use ring::rand::SystemRandom;

use super::fair_semaphore::{FairSemaphore, Origin, QueueFull};

/// Users with the bcrypt hash of their password. `Debug` shows their names only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Users(BTreeMap<String, String>);

/// The reason why a user cannot be accepted; it never contains the hash.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// The hash is none that bcrypt makes.
    #[error("the hash of user {0:?} is not a bcrypt hash; make one with htpasswd -nBC 10")]
    Hash(String),
    /// Basic authentication has no place for such a name.
    #[error("a user name is empty or has a colon or a control character")]
    Name,
    /// A user has two hashes.
    #[error("duplicate user {0:?}")]
    Twice(String),
    /// An entry of a list has no colon.
    #[error("entry {0} is not of the form user:bcrypt-hash")]
    Form(usize),
}

impl Users {
    /// Adds a user.
    ///
    /// # Errors
    /// The name cannot be used or is there already, or the hash is none of bcrypt's.
    pub fn insert(&mut self, user: &str, hash: &str) -> Result<(), UserError> {
        if user.is_empty() || user.contains(|c: char| c == ':' || c.is_control()) {
            return Err(UserError::Name);
        }
        let well_formed = hash.parse::<bcrypt::HashParts>();
        // The costs that bcrypt supports; another one would fail at the first login.
        if !well_formed.is_ok_and(|parts| (4..=31).contains(&parts.get_cost())) {
            return Err(UserError::Hash(user.to_owned()));
        }
        match self.0.insert(user.to_owned(), hash.to_owned()) {
            None => Ok(()),
            Some(_) => Err(UserError::Twice(user.to_owned())),
        }
    }

    /// Parses comma-separated `user:bcrypt-hash` pairs.
    ///
    /// # Errors
    /// The first entry that cannot be used.
    pub fn parse(list: &str) -> Result<Self, UserError> {
        let mut users = Self::default();
        for (index, entry) in list.split(',').enumerate() {
            let (user, hash) = entry
                .trim()
                .split_once(':')
                .ok_or(UserError::Form(index + 1))?;
            users.insert(user, hash)?;
        }
        Ok(users)
    }

    /// Adds all of `others`.
    ///
    /// # Errors
    /// A user who is in both.
    pub fn extend(&mut self, others: &Self) -> Result<(), UserError> {
        others
            .0
            .iter()
            .try_for_each(|(user, hash)| self.insert(user, hash))
    }

    /// Returns true if there are no users.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the most expensive hash, so that an unknown user costs as much time.
    fn most_expensive(&self) -> Option<&str> {
        // Cost has two digits at the same place of every hash.
        let hashes = self.0.values().map(String::as_str);
        hashes.max_by_key(|hash| hash[4..6].to_owned())
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A bearer token; `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct BearerToken(String);

impl BearerToken {
    /// Parses a token: visible ASCII without spaces, as in a header.
    pub fn parse(text: &str) -> Option<Self> {
        let usable = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        usable.then(|| Self(text.to_owned()))
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken")
    }
}

/// The access that a credential gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// Every route.
    All,
    /// Routes that read and routes that write.
    ReadWrite,
    /// Routes that read.
    Read,
    /// Routes that write.
    Write,
    /// Routes that change what the connector does.
    Admin,
}

/// The accepted bearer tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Opens every route, or with `admin` those that read or write.
    pub all: Option<BearerToken>,
    /// Opens the routes that read.
    pub read: Option<BearerToken>,
    /// Opens the routes that write.
    pub write: Option<BearerToken>,
    /// Opens the routes that change what the connector does, and is then the only credential that does.
    pub admin: Option<BearerToken>,
}

impl Tokens {
    /// Returns true if there are no tokens.
    pub fn is_empty(&self) -> bool {
        self.each().is_empty()
    }

    /// Returns true if two of the tokens are equal, so that one would give the access of both.
    pub fn has_equal(&self) -> bool {
        let tokens = self.each();
        let mut rest = tokens.as_slice();
        while let [(_, first), others @ ..] = rest {
            if others.iter().any(|(_, other)| other == first) {
                return true;
            }
            rest = others;
        }
        false
    }

    /// Returns the access of a user and of the token `all`.
    pub fn general_grant(&self) -> Grant {
        match self.admin {
            None => Grant::All,
            Some(_) => Grant::ReadWrite,
        }
    }

    fn each(&self) -> Vec<(Grant, &BearerToken)> {
        let tokens = [
            (self.general_grant(), &self.all),
            (Grant::Read, &self.read),
            (Grant::Write, &self.write),
            (Grant::Admin, &self.admin),
        ];
        let given = tokens.into_iter();
        given
            .filter_map(|(grant, token)| Some((grant, token.as_ref()?)))
            .collect()
    }
}

/// Checks credentials and caches valid ones, so that bcrypt (about 50 ms at its usual cost of 10) runs once for a
/// user and not for each request.
///
/// The cache has MACs under a key of this process, never passwords.
#[derive(Debug)]
pub struct Verifier {
    key: hmac::Key,
    verified: Mutex<HashMap<String, hmac::Tag>>,
    /// Few bcrypts at a time, fair between addresses: wrong passwords must neither occupy all cores nor delay the
    /// first login of other clients.
    bcrypt_permits: FairSemaphore,
}

impl Default for Verifier {
    fn default() -> Self {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        Self {
            key: key.expect("the system has random numbers"),
            verified: Mutex::default(),
            bcrypt_permits: FairSemaphore::default(),
        }
    }
}

impl Verifier {
    /// Returns the access of the token that equals `presented`. Each token is compared, in a time that is
    /// independent of the first difference.
    pub fn grant(&self, tokens: &Tokens, presented: &[u8]) -> Option<Grant> {
        let mut granted = None;
        for (grant, token) in tokens.each() {
            if self.is_token(token, presented) {
                granted = granted.or(Some(grant));
            }
        }
        granted
    }

    fn is_token(&self, token: &BearerToken, presented: &[u8]) -> bool {
        let expected = hmac::sign(&self.key, token.0.as_bytes());
        hmac::verify(&self.key, presented, expected.as_ref()).is_ok()
    }

    /// Returns true if `user` is one of `users` and has this password. An unknown user costs as much time as a wrong
    /// password.
    ///
    /// # Errors
    /// Too many requests wait for bcrypt, so the password was not checked.
    pub async fn is_user(
        &self,
        users: &Users,
        user: &str,
        password: &[u8],
        origin: Origin,
    ) -> Result<bool, QueueFull> {
        let known = users.0.get(user).map(String::as_str);
        let Some(hash) = known.or_else(|| users.most_expensive()) else {
            return Ok(false);
        };
        let message = message(user, hash, password);
        if known.is_some() && self.is_verified(user, &message) {
            return Ok(true);
        }
        let permit = self.bcrypt_permits.acquire(origin).await?;
        // Another request may have verified the same credential meanwhile.
        if known.is_some() && self.is_verified(user, &message) {
            return Ok(true);
        }
        let (hash, password) = (hash.to_owned(), password.to_owned());
        let checked = tokio::task::spawn_blocking(move || {
            // Held until the work ends, even if the client has left.
            let _permit = permit;
            bcrypt::verify(password, &hash).unwrap_or(false)
        });
        let is_user = checked.await.unwrap_or(false) && known.is_some();
        if is_user {
            let tag = hmac::sign(&self.key, &message);
            let mut verified = self.verified.lock();
            verified.insert(user.to_owned(), tag);
        }
        Ok(is_user)
    }

    fn is_verified(&self, user: &str, message: &[u8]) -> bool {
        let verified = self.verified.lock();
        let tag = verified.get(user);
        tag.is_some_and(|tag| hmac::verify(&self.key, message, tag.as_ref()).is_ok())
    }
}

/// Returns the message whose MAC is cached. It contains the hash, so a changed password is checked again. A hash
/// always has 60 bytes, and the length separates name and password.
fn message(user: &str, hash: &str, password: &[u8]) -> Vec<u8> {
    let length = (user.len() as u64).to_be_bytes();
    [hash.as_bytes(), &length, user.as_bytes(), password].concat()
}

#[cfg(test)]
mod tests {
    use super::super::fair_semaphore::Permit;
    use super::*;

    /// bcrypt of cost 4, the cheapest.
    fn hash(password: &str) -> String {
        bcrypt::hash(password, 4).unwrap()
    }

    async fn is_user(verifier: &Verifier, users: &Users, user: &str, password: &[u8]) -> bool {
        let checked = verifier.is_user(users, user, password, Origin::Unknown);
        checked.await.unwrap()
    }

    /// Acquires all permits.
    async fn all_permits(verifier: &Verifier) -> Vec<Permit> {
        use futures_util::FutureExt;
        let free = || {
            verifier
                .bcrypt_permits
                .acquire(Origin::Unknown)
                .now_or_never()
        };
        std::iter::from_fn(free).map(Result::unwrap).collect()
    }

    #[test]
    fn lists_of_users() {
        let hash = hash("secret");
        let form = |entry| Err(UserError::Form(entry));
        let cases = [
            (format!("alice:{hash}"), Ok(1)),
            (format!("alice:{hash}, bob:{hash}"), Ok(2)),
            ("alice".to_owned(), form(1)),
            (format!("alice:{hash},"), form(2)),
            (
                "alice:secret".to_owned(),
                Err(UserError::Hash("alice".to_owned())),
            ),
            (
                format!("alice:{}", hash.replace("$04$", "$32$")),
                Err(UserError::Hash("alice".to_owned())),
            ),
            (
                format!("alice:{hash},alice:{hash}"),
                Err(UserError::Twice("alice".to_owned())),
            ),
            (format!(":{hash}"), Err(UserError::Name)),
        ];
        for (list, expected) in cases {
            let users = Users::parse(&list).map(|users| users.0.len());
            assert_eq!(users, expected, "{list}");
        }
    }

    #[test]
    fn nothing_secret_is_shown() {
        let hash = hash("secret");
        let users = Users::parse(&format!("alice:{hash}")).unwrap();
        assert_eq!(format!("{users:?}"), "{\"alice\"}");
        let token = BearerToken::parse("t0ken").unwrap();
        assert_eq!(format!("{token:?}"), "BearerToken");
        let error = Users::parse("alice:secret").unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }

    #[test]
    fn tokens() {
        let verifier = Verifier::default();
        let token = |text| BearerToken::parse(text);
        let tokens = Tokens {
            all: token("t0ken"),
            read: token("t0ken-r"),
            write: token("t0ken-w"),
            admin: None,
        };
        for (presented, expected) in [
            ("t0ken", Some(Grant::All)),
            ("t0ken-r", Some(Grant::Read)),
            ("t0ken-w", Some(Grant::Write)),
            ("t0ke", None),
            ("", None),
            ("T0ken", None),
        ] {
            let grant = verifier.grant(&tokens, presented.as_bytes());
            assert_eq!(grant, expected, "{presented}");
            let none = verifier.grant(&Tokens::default(), presented.as_bytes());
            assert_eq!(none, None, "{presented}");
        }
        let with_admin = Tokens {
            admin: token("t0ken-a"),
            ..tokens.clone()
        };
        for (presented, expected) in [
            ("t0ken", Grant::ReadWrite),
            ("t0ken-r", Grant::Read),
            ("t0ken-w", Grant::Write),
            ("t0ken-a", Grant::Admin),
        ] {
            let grant = verifier.grant(&with_admin, presented.as_bytes());
            assert_eq!(grant, Some(expected), "{presented}");
        }
        assert!(!tokens.is_empty() && !tokens.has_equal());
        assert!(Tokens::default().is_empty());
        let shown = format!("{tokens:?}");
        assert!(!shown.contains("t0ken"), "{shown}");
        for unusable in ["", "a b", "ü", "a\n"] {
            assert_eq!(BearerToken::parse(unusable), None, "{unusable:?}");
        }
    }

    #[tokio::test]
    async fn passwords() {
        let list = format!("alice:{},bob:{}", hash("a"), hash("b"));
        let users = Users::parse(&list).unwrap();
        let verifier = Verifier::default();
        let cases = [
            ("alice", "a", true),
            ("alice", "a", true),
            ("alice", "b", false),
            ("bob", "b", true),
            ("bob", "a", false),
            ("bob", "", false),
            ("Alice", "a", false),
            ("carol", "a", false),
            ("", "", false),
        ];
        for (user, password, expected) in cases {
            let is_user = is_user(&verifier, &users, user, password.as_bytes()).await;
            assert_eq!(is_user, expected, "{user}:{password}");
        }
        assert!(!is_user(&verifier, &Users::default(), "alice", b"a").await);
    }

    /// A vector of Openwall's `crypt_blowfish` (`$2a$`), and one made with the libcrypt of Debian, which
    /// writes `$2y$` as `htpasswd` does.
    #[tokio::test]
    async fn hashes_of_other_programs() {
        let cases = [
            (
                "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
                "U*U",
            ),
            (
                "$2y$05$abcdefghijklmnopqrstuuUuO3fFhMtnnzaeT1vf5.eKY1HTkAKw2",
                "pä:s",
            ),
        ];
        for (hash, password) in cases {
            let users = Users::parse(&format!("alice:{hash}")).unwrap();
            let verifier = Verifier::default();
            assert!(is_user(&verifier, &users, "alice", password.as_bytes()).await);
            assert!(!is_user(&verifier, &users, "alice", b"U*U*").await);
        }
    }

    #[tokio::test]
    async fn what_was_right_is_remembered_until_the_hash_changes() {
        let users = Users::parse(&format!("alice:{}", hash("a"))).unwrap();
        let verifier = Verifier::default();
        assert!(is_user(&verifier, &users, "alice", b"a").await);
        // No permit for bcrypt is left: only cached credentials can be checked.
        let _permits = all_permits(&verifier).await;
        let now = |password: &'static [u8], users: &Users| {
            use futures_util::FutureExt;
            is_user(&verifier, users, "alice", password).now_or_never()
        };
        assert_eq!(now(b"a", &users), Some(true));
        assert_eq!(now(b"b", &users), None);
        let changed = Users::parse(&format!("alice:{}", hash("a"))).unwrap();
        assert_eq!(now(b"a", &changed), None);
    }

    #[tokio::test]
    async fn an_unknown_user_waits_for_bcrypt_too() {
        use futures_util::FutureExt;
        let users = Users::parse(&format!("alice:{}", hash("a"))).unwrap();
        let verifier = Verifier::default();
        let _permits = all_permits(&verifier).await;
        let checked = is_user(&verifier, &users, "mallory", b"a").now_or_never();
        assert_eq!(checked, None);
    }

    #[test]
    fn an_unknown_user_costs_as_much_as_the_dearest_known() {
        let dear = bcrypt::hash("b", 5).unwrap();
        let list = format!("alice:{},bob:{dear},carol:{}", hash("a"), hash("c"));
        let users = Users::parse(&list).unwrap();
        assert_eq!(users.most_expensive(), Some(dear.as_str()));
    }
}
