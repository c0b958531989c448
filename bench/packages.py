"""Packages to measure with: small valid .debs, sources and uploads, and a signed upstream archive of any size.

The names, relations and descriptions are made up, but as long and as varied as those of a real distribution; each
package is the same for the same number, so that every run measures the same work.
"""
import gzip
import hashlib
import io
import lzma
import os
import random
import shutil
import subprocess
import tarfile
from concurrent.futures import ProcessPoolExecutor

SYLLABLES = "al an ar be ca co da de el en fi fo ga ge hi in jo ka li lo ma me ni no or pa ra ri sa se ta te un va wi".split()
TIME = 1_700_000_000
DATE = "Tue, 14 Nov 2023 22:13:20 +0000"


def words(dice, count):
    return ["".join(dice.choices(SYLLABLES, k=dice.randint(1, 4))) for _ in range(count)]


def tar_of(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, content in files:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime = len(content), TIME
            tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def xz(content):
    return lzma.compress(content, preset=0)


def deb_of(control, paths):
    members = [
        ("debian-binary", b"2.0\n"),
        ("control.tar.gz", gzip.compress(tar_of([("./control", control.encode())]), 1, mtime=TIME)),
        ("data.tar.xz", xz(tar_of([("./" + path, b"") for path in paths]))),
    ]
    out = b"!<arch>\n"
    for name, content in members:
        out += f"{name:<16}{TIME:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode() + content
        out += b"\n" * (len(content) % 2)
    return out


def digests(content):
    return [getattr(hashlib, kind)(content).hexdigest() for kind in ("md5", "sha1", "sha256")]


class Package:
    """The package of that number, in its first version or a later one."""

    def __init__(self, number, revision=1):
        dice = random.Random(number)
        stem = "-".join(words(dice, dice.randint(1, 3)))
        self.name = f"{stem}{number}" if number % 5 else f"lib{stem}{number}"
        self.version = f"{dice.randint(0, 9)}.{dice.randint(0, 40)}.{number % 17}-{revision}"
        self.file = f"{self.name}_{self.version}_amd64.deb"
        letter = self.name[:4] if self.name.startswith("lib") else self.name[0]
        self.path = f"pool/main/{letter}/{self.name}/{self.file}"
        relations = ", ".join(f"lib{word} (>= {dice.randint(0, 9)}.{dice.randint(0, 99)})" for word in words(dice, dice.randint(2, 12)))
        long = "\n".join(" " + " ".join(words(dice, 9)) for _ in range(dice.randint(1, 8)))
        section = dice.choice(["utils", "libs", "devel", "python", "doc", "admin"])
        self.control = (
            f"Package: {self.name}\nVersion: {self.version}\nArchitecture: amd64\n"
            f"Maintainer: Bench Team <team@bench.invalid>\nInstalled-Size: {dice.randint(20, 90000)}\n"
            f"Depends: {relations}\nSection: {section}\nPriority: optional\nHomepage: https://{stem}.bench.invalid/\n"
            f"Description: {' '.join(words(dice, 6))}\n{long}\n"
        )
        places = ["usr/bin", f"usr/lib/{self.name}", f"usr/share/doc/{self.name}", f"usr/share/{self.name}/data"]
        self.paths = sorted({f"{dice.choice(places)}/{word}{number}" for word in words(dice, dice.randint(4, 40))})

    def deb(self):
        return deb_of(self.control, self.paths)

    def stanza(self, content):
        md5, sha1, sha256 = digests(content)
        return f"{self.control}Filename: {self.path}\nSize: {len(content)}\nMD5sum: {md5}\nSHA1: {sha1}\nSHA256: {sha256}\n\n"


def write(path, content):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content if isinstance(content, bytes) else content.encode())


def _make(job):
    directory, number, revision = job
    package = Package(number, revision)
    content = package.deb()
    write(os.path.join(directory, package.path), content)
    return package.stanza(content)


def night(directory, size, number, sign):
    """One night of an upstream of that size: in each night after the first another 1 % has a new version."""
    def revision(package):
        return 2 if number and package % 100 == number % 100 else 1
    out = os.path.join(directory, f"night-{number}")
    jobs = [(directory, package, revision(package)) for package in range(size)]
    with ProcessPoolExecutor() as pool:
        index = "".join(sorted(pool.map(_make, jobs, chunksize=200))).encode()
    files = {"Packages": index, "Packages.gz": gzip.compress(index, 6, mtime=TIME), "Packages.xz": lzma.compress(index, preset=1)}
    lines = []
    for name, content in files.items():
        write(f"{out}/dists/stable/main/binary-amd64/{name}", content)
        lines.append(f" {digests(content)[2]} {len(content)} main/binary-amd64/{name}\n")
    # later nights are later
    date = subprocess.run(["date", "-u", "-R", "-d", f"@{TIME + 86400 * number}"], env={"LC_ALL": "C", "PATH": os.environ["PATH"]},
                          check=True, capture_output=True, text=True).stdout.strip()
    release = (f"Origin: Upstream\nLabel: Upstream\nSuite: stable\nCodename: stable\nDate: {date}\nArchitectures: amd64\n"
               f"Components: main\nDescription: upstream of the benchmarks\nSHA256:\n" + "".join(lines))
    write(f"{out}/dists/stable/Release", release)
    write(f"{out}/dists/stable/InRelease", sign(release, "--clearsign"))
    write(f"{out}/dists/stable/Release.gpg", sign(release, "--armor", "--detach-sign"))
    os.symlink("../pool", f"{out}/pool")


def upload(directory, number, binaries=2):
    """The upload of that number of one source with its binaries; gives the path of its .changes."""
    shutil.rmtree(directory, ignore_errors=True)
    source, version = "bench-app", f"1.{number}-1"
    names = [source, *(f"{source}-part{part}" for part in range(1, binaries))]
    head = f"Source: {source}\nBinary: {', '.join(names)}\n"
    files = {}
    for tarball, top in ((f"{source}_1.{number}.orig.tar.xz", f"{source}-1.{number}/README"), (f"{source}_{version}.debian.tar.xz", "debian/rules")):
        files[tarball] = (xz(tar_of([(top, version.encode())])), "misc")

    def lists(columns):
        listed = {name: (content, *digests(content), section) for name, (content, section) in files.items()}
        text = ""
        for field, kind in (("Checksums-Sha1", 2), ("Checksums-Sha256", 3), ("Files", 1)):
            text += f"{field}:\n"
            for name, row in listed.items():
                extra = f" {row[4]} optional" if columns and field == "Files" else ""
                text += f" {row[kind]} {len(row[0])}{extra} {name}\n"
        return text
    files[f"{source}_{version}.dsc"] = (
        f"Format: 3.0 (quilt)\n{head}Architecture: any\nVersion: {version}\nMaintainer: Bench Team <team@bench.invalid>\n"
        f"Standards-Version: 4.6.2\n{lists(False)}".encode(), "misc")
    for name in names:
        control = (f"Package: {name}\n{'' if name == source else f'Source: {source}' + chr(10)}Version: {version}\nArchitecture: amd64\n"
                   f"Maintainer: Bench Team <team@bench.invalid>\nInstalled-Size: 20\nDepends: libc6 (>= 2.34)\nSection: misc\n"
                   f"Priority: optional\nDescription: an upload\n of the benchmarks\n")
        files[f"{name}_{version}_amd64.deb"] = (deb_of(control, [f"usr/share/{name}/file{part}" for part in range(20)]), "misc")
    changes = (f"Format: 1.8\nDate: {DATE}\nSource: {source}\nBinary: {' '.join(names)}\nArchitecture: source amd64\nVersion: {version}\n"
               f"Distribution: bench\nUrgency: medium\nMaintainer: Bench Team <team@bench.invalid>\nChanged-By: Bench Team <team@bench.invalid>\n"
               f"Description:\n {source} - an upload\nChanges:\n {source} ({version}) bench; urgency=medium\n .\n   * Made.\n{lists(True)}")
    for name, (content, _) in files.items():
        write(f"{directory}/{name}", content)
    write(f"{directory}/{source}_{version}_amd64.changes", changes)
    return f"{directory}/{source}_{version}_amd64.changes"
