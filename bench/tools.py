"""What is measured, and how each tool is told to do it: aptrepo and reprepro by the same configuration and commands,
aptly by its own."""
import json
import os
import subprocess


class Key:
    """A throwaway GnuPG home with one signing key, that of the archives and of the upstream."""

    def __init__(self, directory):
        self.home = os.path.join(directory, "gpg")
        # GnuPG's sockets need short paths
        self.environment = dict(os.environ, GNUPGHOME=self.home, LC_ALL="C.UTF-8")
        os.makedirs(self.home, 0o700)
        self.gpg("--passphrase", "", "--quick-generate-key", "Bench <bench@bench.invalid>", "rsa3072", "sign", "never")
        listed = self.gpg("--with-colons", "--list-secret-keys").decode().splitlines()
        self.fingerprint = next(line.split(":")[9] for line in listed if line.startswith("fpr:"))
        self.public, self.secret, self.ring = (os.path.join(directory, name) for name in ("key.asc", "secret.asc", "key.gpg"))
        exports = {self.public: ["--armor", "--export"], self.secret: ["--armor", "--export-secret-keys"], self.ring: ["--export"]}
        for path, arguments in exports.items():
            with open(path, "wb") as file:
                file.write(self.gpg(*arguments))

    def gpg(self, *arguments, text=None):
        command = ["gpg", "--batch", "--quiet", *arguments]
        return subprocess.run(command, env=self.environment, input=text, check=True, stdout=subprocess.PIPE).stdout

    def sign(self, text, *how):
        return self.gpg(*how, text=text.encode())

    def close(self):
        subprocess.run(["gpgconf", "--kill", "all"], env=self.environment, check=False)


class Reprepro:
    """reprepro, and aptrepo, which takes its configuration and commands."""

    def __init__(self, name, program, key):
        self.name, self.program, self.key = name, program, key

    def command(self, base, *arguments):
        return [self.program, "-b", base, *arguments]

    def run(self, base, *arguments):
        subprocess.run(self.command(base, *arguments), env=self.key.environment, check=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL)

    def configure(self, base, url=None, names=("bench",), contents=".gz"):
        os.makedirs(f"{base}/conf", exist_ok=True)
        with open(f"{base}/conf/distributions", "w") as file:
            for name in names:
                file.write(f"Origin: Bench\nLabel: Bench\nCodename: {name}\nSuite: {name}-suite\nArchitectures: amd64 source\n"
                           f"Components: main\nDescription: {name}\nContents: {contents}\nDebIndices: Packages Release . .gz\n"
                           f"DscIndices: Sources Release .gz\nSignWith: {self.key.fingerprint}\n{'Update: up' if url else ''}\n\n")
        if url:
            with open(f"{base}/conf/updates", "w") as file:
                file.write(f"Name: up\nMethod: {url}\nSuite: stable\nComponents: main\nArchitectures: amd64\n"
                           f"VerifyRelease: {self.key.fingerprint[-16:]}\n")
        if self.name == "aptrepo" and not os.path.exists(f"{base}/conf/options"):
            # a key store of its own, and replaced files go at once, as with the others
            with open(f"{base}/conf/options", "w") as file:
                file.write("gnupghome +b/gpg\nretain 0\n")
            self.run(base, "key", "import", self.key.secret)

    def first(self, base, url):
        self.configure(base, url)
        return [self.command(base, "update")]

    def nightly(self, base, _number):
        return [self.command(base, "update")]

    def take_uploads(self, base):
        """Makes the distribution of a mirror one that takes uploads: here each does."""

    def include(self, base, changes):
        return [self.command(base, "include", "bench", changes)]

    def add_second(self, base, url):
        self.configure(base, url, ("bench", "prod"))
        self.run(base, "update", "prod")

    def copysrc(self, base, source):
        return [self.command(base, "copysrc", "prod", "bench", source)]

    def prepare_export(self, base, url):
        self.configure(base, url, contents=".gz .bz2")
        self.run(base, "export", "bench")

    def export(self, base):
        return [self.command(base, "export", "bench")]

    def empty(self, base):
        self.configure(base)
        self.run(base, "export")

    def includedeb(self, base, debs):
        return [self.command(base, "includedeb", "bench", *debs)]

    def public(self, base):
        return base


class Aptly:
    """aptly with local repositories and snapshots."""

    name = "aptly"

    def __init__(self, program, key):
        self.program, self.key = program, key

    def command(self, base, *arguments):
        return [self.program, f"-config={base}/aptly.conf", *arguments]

    def run(self, base, *arguments):
        subprocess.run(self.command(base, *arguments), env=self.key.environment, check=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL)

    def configure(self, base):
        os.makedirs(base, exist_ok=True)
        with open(f"{base}/aptly.conf", "w") as file:
            json.dump({"rootDir": base, "downloadConcurrency": 4, "architectures": ["amd64", "source"], "gpgProvider": "gpg"}, file)

    def signed(self):
        return ["-batch", f"-gpg-key={self.key.fingerprint}"]

    def first(self, base, url):
        self.configure(base)
        ring = f"-keyring={self.key.ring}"
        return [self.command(base, "-architectures=amd64", "mirror", "create", ring, "up", url, "stable", "main"),
                self.command(base, "mirror", "update", ring, "up"),
                self.command(base, "snapshot", "create", "night-0", "from", "mirror", "up"),
                self.command(base, "publish", "snapshot", *self.signed(), "-distribution=bench", "night-0")]

    def nightly(self, base, number):
        return [self.command(base, "mirror", "update", f"-keyring={self.key.ring}", "up"),
                self.command(base, "snapshot", "create", f"night-{number}", "from", "mirror", "up"),
                self.command(base, "publish", "switch", *self.signed(), "bench", f"night-{number}")]

    def _repository(self, base, name):
        self.run(base, "repo", "create", f"-distribution={name}", name)
        self.run(base, "repo", "import", "up", name, "Name")
        self.run(base, "publish", "repo", *self.signed(), name)

    def take_uploads(self, base):
        self.configure(base)
        self.run(base, "publish", "drop", "bench")
        self._repository(base, "bench")

    def publish(self, base, name):
        return self.command(base, "publish", "update", *self.signed(), name)

    def include(self, base, changes):
        return [self.command(base, "repo", "include", "-accept-unsigned", "-no-remove-files", "-repo=bench", changes),
                self.publish(base, "bench")]

    def add_second(self, base, _url):
        self.take_uploads(base)
        self._repository(base, "prod")

    def copysrc(self, base, source):
        query = f"(Name (= {source}), $PackageType (= source)) | $Source (= {source})"
        return [self.command(base, "repo", "copy", "bench", "prod", query), self.publish(base, "prod")]

    def prepare_export(self, base, _url):
        self.take_uploads(base)

    def export(self, base):
        return [self.publish(base, "bench")]

    def empty(self, base):
        self.configure(base)
        self.run(base, "repo", "create", "-distribution=bench", "bench")
        self.run(base, "publish", "repo", *self.signed(), "-architectures=amd64,source", "bench")

    def includedeb(self, base, debs):
        return [self.command(base, "repo", "add", "bench", *debs), self.publish(base, "bench")]

    def public(self, base):
        return f"{base}/public"
