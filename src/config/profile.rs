//! The profiles in AWS' shared files, for the check that a selected one exists.

use std::fs;
use std::path::PathBuf;

/// The files of an environment.
#[derive(Debug)]
pub(super) struct ProfileFiles {
    config: PathBuf,
    credentials: PathBuf,
}

impl ProfileFiles {
    /// Returns the files that the SDK reads with these variables; `None` if it cannot find them either.
    pub(super) fn of(given: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let home = given("HOME").or_else(|| given("USERPROFILE"));
        let file = |variable: &str, name: &str| {
            let default = || Some(PathBuf::from(home.clone()?).join(".aws").join(name));
            given(variable).map(PathBuf::from).or_else(default)
        };
        Some(Self {
            config: file("AWS_CONFIG_FILE", "config")?,
            credentials: file("AWS_SHARED_CREDENTIALS_FILE", "credentials")?,
        })
    }

    /// Returns the error if neither file has the profile. A file that cannot be read has none.
    pub(super) fn check(&self, profile: &str) -> Result<(), String> {
        let [config, credentials] = [&self.config, &self.credentials]
            .map(|path| fs::read_to_string(path).unwrap_or_default());
        let mut names = names_of_config(&config);
        names.extend(names_of_credentials(&credentials));
        // Without files the SDK has an empty one of this name.
        if profile == "default" || names.contains(&profile) {
            return Ok(());
        }
        names.sort_unstable();
        names.dedup();
        let known = match names.is_empty() {
            true => "they have none".to_owned(),
            false => format!("they have {}", names.join(", ")),
        };
        Err(format!(
            "AWS_PROFILE is {profile:?}, which is neither in {} nor in {}; {known}",
            self.config.display(),
            self.credentials.display()
        ))
    }
}

/// Returns the names in the heads of sections.
fn sections(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let (name, _) = line.trim().strip_prefix('[')?.split_once(']')?;
        Some(name.trim())
    })
}

/// Returns the profiles in the text of a configuration file.
fn names_of_config(text: &str) -> Vec<&str> {
    let names = sections(text).filter_map(|name| match name.split_once(char::is_whitespace) {
        Some(("profile", name)) => Some(name.trim()),
        None if name == "default" => Some(name),
        _ => None,
    });
    names.collect()
}

/// Returns the profiles in the text of a file of credentials.
fn names_of_credentials(text: &str) -> Vec<&str> {
    sections(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_sections_of_either_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let given = |name: &str| match name {
            "AWS_CONFIG_FILE" => Some(path("config")),
            "HOME" => Some(path("home")),
            _ => None,
        };
        let files = ProfileFiles::of(given).unwrap();
        assert!(files.check("default").is_ok());
        let error = files.check("prod").unwrap_err();
        let end = "/home/.aws/credentials; they have none";
        assert!(error.ends_with(end), "{error}");
        let config = "[default]\nregion = x\n[profile prod]\n [ profile  dev ] # mine\n[sso-session s]\n[plain]\n";
        fs::write(path("config"), config).unwrap();
        fs::create_dir_all(folder.path().join("home/.aws")).unwrap();
        fs::write(
            path("home/.aws/credentials"),
            "[ci]\naws_access_key_id = x\n",
        )
        .unwrap();
        for profile in ["prod", "dev", "ci", "default"] {
            assert_eq!(files.check(profile), Ok(()), "{profile}");
        }
        for profile in ["plain", "s", "Prod", "nosuch"] {
            let error = files.check(profile).unwrap_err();
            assert!(error.starts_with(&format!("AWS_PROFILE is {profile:?}, which is")));
            assert!(
                error.ends_with("they have ci, default, dev, prod"),
                "{error}"
            );
        }
        assert!(ProfileFiles::of(|_| None).is_none());
    }
}
