import Glibc
import NatterCommandLine
import Testing

@Suite("environment, language and colours")
struct EnvironmentTests {
    @Test("XDG directories, or those of the specification")
    func directories() throws {
        let plain = Environment(["HOME": "/home/a"])
        #expect(try plain.dataHome() == "/home/a/.local/share")
        #expect(try plain.configHome() == "/home/a/.config")
        #expect(try Environment(["HOME": "/", "XDG_DATA_HOME": "/d"]).dataHome() == "/d")
        #expect(try Environment(["HOME": "/", "XDG_DATA_HOME": "relative"]).dataHome() == "/.local/share")
        #expect(Environment(["A": ""])["A"] == nil)
    }

    @Test("without HOME the list of accounts knows it; without either it is an error")
    func home() throws {
        let path = "/tmp/natter-accounts-\(getpid())-\(UInt64.random(in: 0...(.max)))"
        let file = try #require(fopen(path, "w"))
        fputs("other:x:\(getuid() &+ 1):0::/other:/bin/sh\nbroken\nme:x:\(getuid()):0:Me:/home/me:/bin/sh\n", file)
        fclose(file)
        defer { unlink(path) }
        #expect(try Environment([:], accounts: path).home() == "/home/me")
        #expect(try Environment(["HOME": "relative"], accounts: path).home() == "/home/me")
        #expect(throws: CommandFailure.self) { try Environment([:], accounts: "/nowhere").home() }
    }

    @Test("the process's own")
    func process() {
        #expect(Environment.process["PATH"] != nil)
        #expect(Environment.process["NATTER_NO_SUCH_VARIABLE"] == nil)
    }

    @Test(
        "the language",
        arguments: [
            (nil, nil, [:], []), ("de", "fr", ["LANG": "es_ES"], ["de"]), (nil, "pt-BR", [:], ["pt_BR", "pt"]),
            (nil, nil, ["LANG": "de_AT.UTF-8@euro"], ["de_AT", "de"]),
            (nil, nil, ["LANGUAGE": "sv:de_AT:de", "LANG": "fr_FR"], ["sv", "de_AT", "de"]),
            (nil, nil, ["LANGUAGE": "ru", "LC_ALL": "C.UTF-8"], ["ru"]), (nil, nil, ["LC_ALL": "C.UTF-8"], []),
            (nil, nil, ["LANGUAGE": "ru", "LC_ALL": "C", "LANG": "ru_RU"], []),
            (nil, nil, ["LC_ALL": "ru_RU.UTF-8", "LC_MESSAGES": "de_DE", "LANG": "fr"], ["ru_RU", "ru"]),
            (nil, nil, ["LC_MESSAGES": "de_DE", "LANG": "fr"], ["de_DE", "de"]), (nil, nil, ["LANGUAGE": "ru"], ["ru"]),
        ] as [(String?, String?, [String: String], [String])])
    func language(option: String?, configured: String?, values: [String: String], expected: [String]) {
        #expect(
            Language.preferred(option: option, configured: configured, environment: Environment(values)) == expected)
    }

    @Test("colours by choice, terminal, NO_COLOR and TERM")
    func colours() {
        let terminal = Environment(["TERM": "xterm"])
        #expect(ColorChoice.auto.isOn(isTerminal: true, environment: terminal))
        #expect(!ColorChoice.auto.isOn(isTerminal: false, environment: terminal))
        #expect(!ColorChoice.auto.isOn(isTerminal: true, environment: Environment(["TERM": "dumb"])))
        #expect(!ColorChoice.auto.isOn(isTerminal: true, environment: Environment([:])))
        #expect(!ColorChoice.auto.isOn(isTerminal: true, environment: Environment(["TERM": "xterm", "NO_COLOR": "1"])))
        #expect(ColorChoice.auto.isOn(isTerminal: true, environment: Environment(["TERM": "xterm", "NO_COLOR": ""])))
        #expect(ColorChoice.always.isOn(isTerminal: false, environment: Environment(["NO_COLOR": "1"])))
        #expect(!ColorChoice.never.isOn(isTerminal: true, environment: terminal))
        #expect(Paint(isOn: true)(.bold, "x") == "\u{1B}[1mx\u{1B}[m")
        #expect(Paint(isOn: false)(.bold, "x") == "x")
    }
}
