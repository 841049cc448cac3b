import Glibc
import NatterModel
import NatterSystem
import Testing
import TestSupport

@Suite("the disk")
struct DiskTests {
    private let disk = PosixDisk()
    private let home: TemporaryDirectory

    init() throws { home = try TemporaryDirectory() }

    private func path(_ name: String) -> String { "\(home.path)/\(name)" }

    private func write(_ text: String, to name: String) throws {
        try disk.open(path(name), .create).write(Array(text.utf8), at: 0)
    }

    private func text(_ name: String) throws -> String {
        String(decoding: try disk.contents(of: path(name), limit: 1_000), as: UTF8.self)
    }

    @Test("creates a file only if none exists")
    func createIsExclusive() throws {
        try write("first", to: "a")
        let error = failure { () throws(DiskError) in _ = try disk.open(path("a"), .create) }
        #expect(error == DiskError(code: .fileExists, operation: "create", path: path("a")))
        #expect(error?.description == "cannot create '\(path("a"))': file exists")
        #expect(try text("a") == "first")
    }

    @Test("opening creates no file")
    func openFindsNothing() throws {
        for mode in [OpenMode.read, .readWrite] {
            let error = failure { () throws(DiskError) in _ = try disk.open(path("a"), mode) }
            #expect(error?.isMissing == true)
        }
        #expect(try disk.list(home.path).isEmpty)
    }

    @Test("follows no symbolic link", arguments: [OpenMode.read, .readWrite, .create])
    func links(mode: OpenMode) throws {
        try write("secret", to: "target")
        #expect(symlink(path("target"), path("link")) == 0)
        #expect(symlink(path("nowhere"), path("dangling")) == 0)
        for name in ["link", "dangling"] {
            let error = failure { () throws(DiskError) in _ = try disk.open(path(name), mode) }
            #expect(error?.code == (mode == .create ? .fileExists : .tooManySymbolicLinkLevels))
        }
        #expect(try disk.information(path("nowhere")) == nil)
        #expect(try disk.information(path("link"))?.isRegular == false)
    }

    @Test("does not wait for the other end of a pipe that stands in a file's place")
    func pipes() throws {
        #expect(mkfifo(path("pipe"), 0o600) == 0)
        let error = failure { () throws(DiskError) in _ = try disk.contents(of: path("pipe"), limit: 10) }
        #expect(error != nil)
    }

    @Test("gives files and directories to their owner alone, whatever the umask")
    func modes() throws {
        let former = umask(0)
        defer { umask(former) }
        try disk.makeDirectories(path("x/y/z"))
        try write("a", to: "x/y/z/file")
        try disk.replaceContents(of: path("x/y/z/replaced"), with: [1])
        for name in ["x", "x/y", "x/y/z"] {
            let found = try #require(try disk.information(path(name)))
            #expect(found.isDirectory && !found.isRegular && found.mode == 0o700)
        }
        for name in ["x/y/z/file", "x/y/z/replaced"] {
            let found = try #require(try disk.information(path(name)))
            #expect(found.isRegular && !found.isDirectory && found.mode == 0o600)
        }
    }

    @Test("is content with directories that are there")
    func directoriesTwice() throws {
        try disk.makeDirectories(path("x/y"))
        try disk.makeDirectories(path("x/y"))
        try disk.makeDirectory(path("x"))
        #expect(symlink(path("x"), path("link")) == 0)
        try disk.makeDirectories(path("link/z"))
        #expect(try disk.list(path("x")) == ["y", "z"])
    }

    @Test("does not take a file for a directory")
    func fileInTheWay() throws {
        try write("a", to: "file")
        #expect(failure { () throws(DiskError) in try disk.makeDirectory(path("file")) }?.code == .fileExists)
        #expect(failure { () throws(DiskError) in try disk.makeDirectories(path("file/x")) } != nil)
        #expect(failure { () throws(DiskError) in try disk.makeDirectory(path("no/where")) }?.isMissing == true)
    }

    @Test("replaces a file's content in one step")
    func replace() throws {
        try disk.replaceContents(of: path("a"), with: Array("first".utf8))
        let old = try disk.open(path("a"), .read)
        try disk.replaceContents(of: path("a"), with: Array("second".utf8))
        // A reader of the old file keeps the old content; nothing else is left behind.
        #expect(try old.read(count: 10, at: 0) == Array("first".utf8))
        #expect(try text("a") == "second")
        #expect(try disk.list(home.path) == ["a"])
    }

    @Test("replaces content also where an earlier attempt, or somebody's link, is in the way")
    func replaceOverRemains() throws {
        try write("precious", to: "other")
        #expect(symlink(path("other"), path("a.new")) == 0)
        try disk.replaceContents(of: path("a"), with: Array("new".utf8))
        #expect(try text("a") == "new")
        #expect(try text("other") == "precious")
        #expect(try disk.list(home.path) == ["a", "other"])
    }

    @Test("lists names in the order of their bytes")
    func listing() throws {
        for name in ["b", "a", "Z", ".hidden", "я", "é", "a.b", "a-b", "10", "9"] { try write("", to: name) }
        #expect(try disk.list(home.path) == [".hidden", "10", "9", "Z", "a", "a-b", "a.b", "b", "é", "я"])
        #expect(failure { () throws(DiskError) in _ = try disk.list(path("nowhere")) }?.isMissing == true)
    }

    @Test("reads to the end of the file")
    func reading() throws {
        let file = try disk.open(path("a"), .create)
        try file.write(Array("hello".utf8), at: 3)
        #expect(try file.size() == 8)
        #expect(try file.read(count: 100, at: 0) == [0, 0, 0] + Array("hello".utf8))
        #expect(try file.read(count: 2, at: 4) == Array("el".utf8))
        #expect(try file.read(count: 5, at: 8).isEmpty)
        #expect(try file.read(count: 5, at: 1_000_000).isEmpty)
        try file.truncate(to: 4)
        try file.sync()
        #expect(try file.read(count: 100, at: 0) == [0, 0, 0] + Array("h".utf8))
        #expect(try disk.information(path("a"))?.size == 4)
    }

    @Test("refuses to read a file that is larger than it should be")
    func limit() throws {
        try write("12345", to: "a")
        #expect(try disk.contents(of: path("a"), limit: 5) == Array("12345".utf8))
        #expect(
            failure { () throws(DiskError) in _ = try disk.contents(of: path("a"), limit: 4) }
                == DiskError(code: .fileTooLarge, operation: "read", path: path("a")))
    }

    @Test("says what is where")
    func information() throws {
        #expect(try disk.information(path("a")) == nil)
        #expect(try disk.information(path("a/b")) == nil)
        try write("a", to: "a")
        #expect(try disk.information(path("a/b")) == nil)
        #expect(try disk.freeBytes(home.path) > 0)
        try disk.rename(path("a"), to: path("b"))
        try disk.remove(path("b"))
        try disk.syncDirectory(home.path)
        #expect(failure { () throws(DiskError) in try disk.remove(path("b")) }?.isMissing == true)
    }

    @Test("a path falls into directory and name")
    func paths() {
        for (path, directory, name) in [
            ("/a/b", "/a", "b"), ("/a", "/", "a"), ("a", ".", "a"), ("a/b/c", "a/b", "c"), ("/", "/", ""),
            ("", ".", ""),
        ] {
            #expect(Path.directory(of: path) == directory)
            #expect(Path.name(of: path) == name)
        }
    }

    @Test(
        "a full disk is told apart",
        arguments: [
            (Errno.noSpace, true), (.diskQuotaExceeded, true), (.fileTooLarge, true), (.ioError, false),
            (.readOnlyFileSystem, false),
        ])
    func fullness(code: Errno, isFull: Bool) {
        #expect(DiskError(code: code, operation: "write", path: "x").isFull == isFull)
    }
}
