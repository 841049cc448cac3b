internal import Foundation
internal import Testing
internal import TestSupport

/// Converters of other people: programs named `natter-import-FORMAT`.
@Suite("natterd import --from: converters")
struct ConverterTests {
    private let world: World

    init() throws { world = try World(isServing: false) }

    private let line =
        #"{"conversation":"ops","seq":7,"ts":1700000000000,"sender":"al","text":"one"}"# + "\n"

    /// Makes a converter on `PATH` of this script.
    private func converter(_ script: String, _ format: String = "test", in place: String = "bin") throws {
        try Programs.install(
            world.directory.write("script", script), as: world.directory("\(place)/natter-import-\(format)"))
    }

    private func take(
        _ words: String..., more: [String: String] = [:], input: String = ""
    ) throws -> Outcome {
        try world.natterd(
            ["import"] + words, environment: ["PATH": world.directory("bin") + ":/usr/bin:/bin"].merging(more) { $1 },
            input: .text(input))
    }

    private func texts(_ conversation: String) throws -> [String] {
        try world.natterd("export", conversation).objects().map { $0[string: "text"] ?? "" }
    }

    @Test("what it prints is imported: conversations, answers, edits, people; what it says is passed on, or counted")
    func prints() throws {
        let lines = """
            {"conversation":"ops","seq":5,"ts":1700000000000,"sender":"al","text":"one","edited":1700000001000}
            {"conversation":"us","ts":1700000000000,"sender":"alice","text":"hi","people":["alice","B"],"more":[{}]}

            {"conversation":"ops","seq":9,"ts":1700000002000,"sender":"B","text":"","about":5}

            """
        try converter(
            "#!/bin/sh\necho 'it is odd' >&2\necho 'not taken: 2 stickers' >&2\ncat\necho 'not taken: 3 stickers' >&2\n"
        )
        let outcome = try take("--from", "test", "--map-user", "B=bob", "-", input: lines)
        #expect(outcome.code == 0 && outcome.bytes.isEmpty, "\(outcome)")
        #expect(outcome.errors.contains("natterd: it is odd\n") && outcome.errors.contains("not taken: 5 stickers"))
        let records = try world.natterd("export", "--raw", "ops").objects()
        #expect(records.map { $0[string: "kind"] } == [nil, "edit", nil])
        #expect(records.map { $0[int: "about"] } == [nil, 1, 1])
        #expect(records.map { $0[string: "sender"] } == ["al", "al", "bob"])
        #expect(try texts("@alice,@bob") == ["hi"])
        let again = try take("--json", "--from", "test", "all", "-", input: lines)
        #expect(try again.objects().last?[object: "skipped"]?[int: "stickers"] == 5, "\(again)")
        #expect(try world.natterd("export", "--raw", "all").objects().map { $0[int: "about"] } == [nil, 1, 1, nil])
    }

    @Test("it is found beside the program, whose links are resolved, then on PATH; a format is a word")
    func places() throws {
        let (prefix, own) = (world.directory("prefix"), world.directory("own"))
        let program = prefix + "/bin/natterd"
        try Programs.install(Programs.path("natterd"), as: program)
        try FileManager.default.createDirectory(atPath: own, withIntermediateDirectories: true)
        try FileManager.default.createSymbolicLink(atPath: own + "/natterd", withDestinationPath: program)
        func script(_ text: String) -> String {
            "#!/bin/sh\necho '\(line.replacing("one", with: text).dropLast())'\n"
        }
        try converter(script("beside"), in: "prefix/libexec/natter")
        try converter(script("on PATH"))
        try converter(script("other"), "other-2")
        func run(_ format: String) throws -> Outcome {
            try ChildProcess(
                own + "/natterd", ["--data", world.data, "import", "--from", format, "/dev/null"],
                environment: World.store(of: world.data).merging(["PATH": ".:" + world.directory("bin")]) { $1 }
            ).finish()
        }
        #expect(try run("test").code == 0)
        #expect(try run("other-2").code == 0)
        #expect(try texts("ops") == ["beside", "other"])
        for format in ["discord", "", "a/b", "../bin/natter-import-test", "Test", String(repeating: "a", count: 33)] {
            try expect(run(format), 64)
        }
    }

    @Test(
        "one that fails has nothing kept, and its last line is the reason",
        arguments: [
            ("echo 'no day' >&2; exit 65", 65, "no day; nothing was imported"), ("exit 1", 65, "the status 1"),
            ("echo 'it is gone' >&2; exit 66", 66, "it is gone"),
            ("echo 'no such option' >&2; exit 64", 64, "no such option"),
            ("kill -9 $$", 65, "signal 9"),
        ])
    func fails(end: String, code: Int32, reason: String) throws {
        try converter("#!/bin/sh\ncat\n\(end)\n")
        let outcome = try take("--from", "test", "-", input: line)
        #expect(outcome.code == code && isOneLine(outcome.errors), "\(outcome)")
        #expect(outcome.errors.contains(reason), "\(outcome.errors)")
        #expect(try world.natterd("export", "ops").code == 67)
    }

    @Test(
        "a bad line is 65 with its number, and nothing is kept; its converter is not waited for",
        arguments: [
            "nonsense", #"{"ts":1700000000000,"sender":"al","text":"x"}"#,
            #"{"conversation":"ops","ts":1700000000000,"sender":"al","text":"x","about":8}"#,
            #"{"conversation":"us","ts":1700000000000,"sender":"al","text":"x","about":7}"#,
            #"{"conversation":"ops","ts":1700000000,"sender":"al","text":"x"}"#,
            #"{"conversation":"ops","ts":1700000000000,"sender":"","text":"x"}"#,
        ])
    func badLine(bad: String) throws {
        try converter("#!/bin/sh\nhead -n 2\nexec sleep 1000\n")
        let outcome = try take("--from", "test", "-", input: line + bad + "\n")
        #expect(outcome.code == 65 && isOneLine(outcome.errors), "\(outcome)")
        #expect(outcome.errors.contains("'natter-import-test', line 2: "), "\(outcome.errors)")
        #expect(try world.natterd("export", "ops").code == 67)
    }

    @Test("without its interpreter, the line says what to install")
    func noInterpreter() throws {
        try converter("#!/nonexistent/bin/python3 -E\n")
        let outcome = try take("--from", "test", "/dev/null")
        #expect(outcome.code == 78 && isOneLine(outcome.errors), "\(outcome)")
        #expect(outcome.errors.contains("'/nonexistent/bin/python3'"), "\(outcome.errors)")
        #expect(outcome.errors.contains("apt install python3"), "\(outcome.errors)")
    }

    @Test("its environment is clean, it has 3 descriptors and 1 GiB, and the file is its input")
    func surroundings() throws {
        let script = """
            #!/bin/sh
            say() { printf '{"conversation":"ops","ts":1700000000000,"sender":"al","text":"%s"}\\n' "$1"; }
            say "$(env | sed 's/=.*//' | grep -v -e PWD -e SHLVL -e _ | sort | tr '\\n' ' ')"
            open=
            for number in 0 1 2 3 4 5 6 7 8 9; do [ ! -e /proc/$$/fd/$number ] || open="$open $number"; done
            say "$open"
            say "$(ulimit -v)"
            say "$*: $(cat)"
            """
        try converter(script)
        let file = try world.directory.write("export.txt", "content")
        try expectSuccess(
            take("--from", "test", "--dates", "ymd", file, more: ["SECRET": "x", "TZ": "UTC", "LANG": "C"]))
        #expect(
            try texts("ops") == ["LANG PATH TMPDIR TZ ", " 0 1 2", "1048576", "--dates ymd - \(file): content"])
        let place = try take("--from", "test", "other", world.directory.path)
        #expect(try place.code == 0 && texts("other").last == "\(world.directory.path): ", "\(place)")
    }

    @Test("it ends with natterd", arguments: [SIGKILL, SIGINT, SIGTERM])
    func ends(signal: Int32) throws {
        let mark = world.directory("id")
        try converter("#!/bin/sh\necho $$ >'\(mark).new'\nmv '\(mark).new' '\(mark)'\nexec sleep 1000\n")
        let importing = try ChildProcess(
            Programs.path("natterd"), ["--data", world.data, "import", "--from", "test", "/dev/null"],
            environment: World.store(of: world.data).merging(["PATH": world.directory("bin") + ":/usr/bin:/bin"]) { $1 }
        )
        try eventually("the converter runs") { Files.text(mark) != nil }
        let id = try #require(Files.text(mark).flatMap { Int32($0.dropLast()) })
        #expect(importing.finish(after: signal).code != 0)
        try eventually("the converter has ended") {
            kill(id, 0) != 0 || Files.text("/proc/\(id)/stat")?.contains(") Z ") == true
        }
    }
}
