internal import Foundation
internal import Glibc
internal import Testing
internal import TestSupport

@Suite("languages")
struct LanguageTests {
    /// The catalogues, compiled as 'make build' does it.
    private static let catalogues = Result { () throws -> TemporaryDirectory in
        let directory = try TemporaryDirectory()
        let made = try ChildProcess(
            Programs.packageRoot + "/tools/build/compile-catalogues", [directory.path],
            environment: ["PATH": "/usr/bin:/bin"]
        ).finish()
        guard made.code == 0 else { throw Failure("compile-catalogues: \(made.errors)") }
        return directory
    }
    private static let nobody = Result { () throws -> World in try World(isServing: false) }
    private static let russian = ["LANGUAGE": "ru"]

    /// An environment with the catalogues, and nothing else of a language.
    private func variables(_ environment: [String: String] = russian) throws -> [String: String] {
        ["NATTER_LOCALEDIR": try LanguageTests.catalogues.get().path].merging(environment) { $1 }
    }

    private func isRussian(_ text: String) -> Bool {
        text.unicodeScalars.contains { (0x410...0x44F).contains($0.value) }
    }

    @Test("without a command, the names of all fit a terminal", arguments: ["natter", "natterd"], [false, true])
    func alone(program: String, isRussian: Bool) throws {
        let environment = try variables(isRussian ? LanguageTests.russian : [:])
        func run(_ words: String...) throws -> [Substring] {
            let outcome = try ChildProcess(Programs.path(program), words, environment: environment).finish()
            #expect(outcome.code == 0 && outcome.errors.isEmpty)
            return outcome.output.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
        }
        let lines = try run()
        #expect(lines.count <= 24 && lines.allSatisfy { $0.count <= 80 })
        let words = Set(lines.flatMap { $0.split(separator: " ") })
        // The overview has a line for each, two columns in.
        let commands = try run("help").filter { $0.hasPrefix("  ") && $0.dropFirst(2).first?.isLowercase == true }
            .compactMap { $0.split(separator: " ").first }.filter { $0 != Substring(program) }
        #expect(commands.count > 10 && words.isSuperset(of: commands), "\(Set(commands).subtracting(words))")
    }

    // MARK: - Which language

    @Test(
        "the first of --lang, config lang, LANGUAGE, LC_ALL, LC_MESSAGES and LANG decides",
        arguments: [
            ([], nil, [:], false),
            ([], nil, ["LANG": "ru_RU.UTF-8"], true),
            ([], nil, ["LANG": "en_US.UTF-8", "LC_MESSAGES": "ru_RU.UTF-8"], true),
            ([], nil, ["LC_MESSAGES": "ru_RU", "LC_ALL": "en_US.UTF-8"], false),
            ([], nil, ["LC_ALL": "en_US.UTF-8", "LANGUAGE": "ru"], true),
            ([], nil, ["LC_ALL": "ru_RU.UTF-8", "LANGUAGE": "en"], false),
            ([], nil, ["LC_ALL": "C.UTF-8", "LANGUAGE": "ru"], true),
            ([], nil, ["LC_ALL": "C", "LANGUAGE": "ru"], false),
            ([], nil, ["LANGUAGE": "ru"], true),
            ([], nil, ["LANGUAGE": "xx:ru:en"], true),
            ([], nil, ["LANGUAGE": "xx:en:ru"], false),
            ([], "ru", ["LANGUAGE": "en"], true),
            ([], "en", ["LANGUAGE": "ru"], false),
            (["--lang", "ru"], "en", ["LANGUAGE": "en"], true),
            (["--lang", "en"], "ru", ["LANGUAGE": "ru"], false),
        ] as [([String], String?, [String: String], Bool)])
    func precedence(options: [String], setting: String?, environment: [String: String], expected: Bool) throws {
        let directory = try TemporaryDirectory()
        let person = Person(name: "nobody", home: directory.path, server: "http://127.0.0.1:9")
        if let setting { #expect(try person("config", "set", "lang", setting).code == 0) }
        for words in [["whoami"], ["lgo"], ["help", "lgo"], ["log", "--sinse"]] {
            let outcome = try person.run(words + options, environment: try variables(environment))
            #expect(outcome.code == (words == ["whoami"] ? 77 : 64) && outcome.errors.hasPrefix("natter: "))
            #expect(isRussian(outcome.errors) == expected, "\(words): \(outcome.errors)")
        }
        let help = try person.run(options + ["help", "log"], environment: try variables(environment))
        #expect(help.code == 0 && isRussian(help.output) == expected)
    }

    @Test("an unknown language is refused and the known ones listed; in the environment it means English")
    func unknown() throws {
        let person = try LanguageTests.nobody.get().person("nobody")
        try expect(person("--lang", "xx", "help"), 64, "en, ru", "'xx'")
        try expect(person("config", "set", "lang", "xx"), 65, "en, ru")
        let environment = try person.run(["lgo"], environment: try variables(["LANGUAGE": "xx"]))
        #expect(environment.code == 64 && environment.errors.hasPrefix("natter: 'lgo' is not"))
    }

    @Test("without a catalogue it is English, and nothing is said of it")
    func noCatalogue() throws {
        let person = try LanguageTests.nobody.get().person("nobody")
        let outcome = try person.run(["lgo"], environment: ["LANGUAGE": "ru", "NATTER_LOCALEDIR": "/nonexistent"])
        #expect(outcome.code == 64 && outcome.errors.hasPrefix("natter: 'lgo' is not a natter command"))
    }

    @Test("an installed program finds its catalogue beside itself", arguments: ["natter", "natterd"])
    func installed(program: String) throws {
        let directory = try TemporaryDirectory()
        try FileManager.default.createDirectory(atPath: directory("share"), withIntermediateDirectories: false)
        try Programs.install(Programs.path(program), as: directory("bin/\(program)"))
        try FileManager.default.copyItem(
            atPath: try LanguageTests.catalogues.get().path, toPath: directory("share/locale"))
        let outcome = try ChildProcess(
            directory("bin/\(program)"), ["lgo"], environment: ["LANGUAGE": "ru", "HOME": directory.path]
        ).finish()
        #expect(outcome.code == 64 && isRussian(outcome.errors), "\(outcome.errors)")
    }

    // MARK: - What is said

    @Test("plurals of 1, 2, 5 and 21")
    func plurals() throws {
        let world = try World()
        _ = try world.alice("sync")
        world.stopServing()
        for (count, words) in [
            (1, "1 сообщение в исходящих ждёт"), (2, "2 сообщения в исходящих ждут"),
            (5, "5 сообщений в исходящих ждут"),
            (21, "21 сообщение в исходящих ждёт"),
        ] {
            let lines = (0..<count).map { "line \($0)\n" }.joined()
            _ = try world.alice("outbox", "drop", "--all")
            let queued = try world.alice.run(
                ["send", "--lines", "--queue", "--offline"], environment: try variables(),
                input: .text(lines))
            #expect(queued.code == 0 && queued.errors.contains("\(count) из \(count)"))
            let doctor = try world.alice.run(["doctor", "--offline"], environment: try variables())
            #expect(doctor.code == 1 && doctor.output.contains(words), "\(doctor.output)")
        }
    }

    @Test("a server's refusal is told in the language of the client")
    func refusals() throws {
        let world = try World()
        for (words, code, beginning) in [
            (["pm", "nemo", "hello"], 67, "natter: нет пользователя с именем «nemo»; их перечисляет «natter users»\n"),
            (["send", "-c", "nowhere", "hello"], 67, "natter: беседы «nowhere» нет"),
            (["group", "create", "-x"], 64, "natter: "),
            (["group", "create", "a/b"], 65, "natter: имя «a/b» не может содержать '/'\n"),
        ] as [([String], Int32, String)] {
            let outcome = try world.alice.run(words, environment: try variables())
            #expect(outcome.code == code && outcome.errors.hasPrefix(beginning), "\(outcome.errors)")
            #expect(isRussian(outcome.errors))
            #expect(try world.alice.run(words).code == code)
        }
    }

    @Test("output for programs and exit codes are the same in every language")
    func stable() throws {
        let world = try World()
        try world.bob.sends("one", "two")
        try world.alice.sends("three")
        _ = try world.alice("users")
        for words in [
            ["log"], ["log", "--all"], ["log", "--json"], ["search", "two"], ["users", "--offline"], ["ls"],
            ["ls", "--json"],
            ["status", "--short"], ["whoami"], ["outbox", "ls"], ["export", "general"], ["config", "get"],
            ["whoami", "--version"], ["completion", "bash"], ["completion", "zsh"], ["completion", "fish"],
            ["__complete", "words", "log", "--from", ""], ["log", "nowhere", "--json"], ["lgo", "--json"],
            ["send", "-c", "nowhere", "x", "--json"],
            ["search", "nothing"], ["pm", "nemo", "x", "--json"], ["log", "--after", "x", "--json"],
        ] {
            let english = try world.alice.run(words)
            let russian = try world.alice.run(words, environment: try variables())
            #expect(english.code == russian.code && english.bytes == russian.bytes, "\(words)")
            // Errors as objects.
            if words.last == "--json" { #expect(english.errors == russian.errors, "\(words)") }
        }
        // The age of the last sync apart
        let (english, russian) = (
            try world.alice("status"), try world.alice.run(["status"], environment: try variables())
        )
        #expect(english.lines == russian.lines)
        world.stopServing()
        let doctor = try world.alice.run(["doctor", "--json"], environment: try variables())
        #expect(try world.alice("doctor", "--json").bytes == doctor.bytes && doctor.code == 1 && !doctor.bytes.isEmpty)
    }

    @Test("on a terminal days, ages and columns are Russian")
    func terminal() throws {
        let world = try World(says: "one")
        _ = try world.bob("sync")
        func screen(_ words: String...) throws -> String {
            let quoted = ([try Programs.path("natter")] + words).map { "'" + $0 + "'" }.joined(separator: " ")
            var variables = try variables()
            variables.merge([
                "HOME": world.bob.home, "PATH": "/usr/bin:/bin", "NATTER_SERVER": world.url, "TERM": "dumb",
                "TZ": "UTC", "NATTER_PAGER": "cat",
            ]) { $1 }
            return try ChildProcess("/usr/bin/script", ["-qec", quoted, "/dev/null"], environment: variables).finish()
                .output
        }
        let log = try screen("log")
        #expect(
            log.firstMatch(of: /-- (понедельник|вторник|среда|четверг|пятница|суббота|воскресенье), \d+ \w+ \d{4} --/)
                != nil)
        #expect(log.contains("alice: one"))
        let status = try screen("status")
        #expect(status.contains("непрочитанное") && status.contains("1 сообщение"))
        let users = try screen("users")
        #expect(users.contains("ИМЯ") && users.contains("в сети"))
    }

    @Test("on a terminal, what a line says of a message is Russian; in a pipe it is English")
    func lines() throws {
        let world = try World(says: "one")
        try expect(world.alice("send", "--quiet", "--re", "1", "two"))
        try expect(world.alice("edit", "1", "uno"))
        try world.alice.sends("four")
        try expect(world.alice("delete", "4"))
        func shown(_ words: String...) throws -> [String] {
            let environment = ["NATTER_PAGER": "cat", "NO_COLOR": "1"]
            let text = try Screen.show(world.bob, words, environment: variables().merging(environment) { $1 }).text
            // Behind the day and the time
            return text.split(separator: "\n").dropFirst().map { String($0.dropFirst(9)) }
        }
        #expect(try shown("log") == ["alice: uno (изменено)", "alice (ответ alice «uno»): two", "alice: (удалено)"])
        let changes = try shown("log", "--raw").suffix(3)
        #expect(changes == ["alice (правка 1): uno", "alice: (удалено)", "alice (удаление 4)"])
        let piped = try world.bob.run(["log"], environment: variables()).lines.map { String($0.dropFirst(25)) }
        #expect(piped == ["alice: uno (edited)", "alice (re 1): two", "alice: (deleted)"])
    }

    @Test("the server's log is English, its errors are not")
    func server() throws {
        let world = try World(isServing: false)
        let daemon = try Daemon(data: world.data, environment: try variables())
        #expect(daemon.stop().code == 0)
        #expect(!isRussian(Files.text(world.data + ".log") ?? "ж"))
        let error = try Daemon.run(
            ["--data", world.data, "export", "nowhere"], home: world.directory.path, environment: try variables())
        #expect(error.code == 67 && error.errors == "natterd: беседы «nowhere» нет\n", "\(error.errors)")
    }

    @Test("a running server answers natterd's commands in their language")
    func operators() throws {
        let world = try World()
        let error = try Daemon.run(
            ["--data", world.data, "export", "nowhere"], home: world.directory.path, environment: try variables())
        #expect(error.code == 67 && error.errors == "natterd: беседы «nowhere» нет\n", "\(error.errors)")
    }

    // MARK: - What is left

    /// English sentences in Russian text: three words or more, outside quotation marks.
    private func english(in text: String) -> [String] {
        // Quotation marks may stand on two lines.
        text.replacing(/«[^»]*»/, with: "").split(separator: "\n").compactMap { line in
            let plain = String(line).replacing(#/^natterd? [a-z ]+: /#, with: "").replacing(/'[^']*'/, with: "")
            return plain.firstMatch(of: /[a-z]{2,} [a-z]{2,} [a-z]{2,}/) == nil ? nil : String(line)
        }
    }

    /// A page without the parts to type: usage and examples.
    private func prose(_ page: String) -> String {
        var isExample = false
        var isUsage = false
        return page.split(separator: "\n", omittingEmptySubsequences: false).filter { line in
            if line == "Примеры" { isExample = true }
            if line.hasPrefix("использование:") { isUsage = true }
            if line.isEmpty { (isExample, isUsage) = (false, false) }
            return !(isUsage || isExample && line.hasPrefix("  ") && !line.hasPrefix("      "))
        }.joined(separator: "\n")
    }

    @Test("no page of help has a sentence of English left", arguments: ["natter", "natterd"])
    func help(program: String) throws {
        let person = try LanguageTests.nobody.get().person("nobody")
        func page(_ words: [String]) throws -> String {
            let outcome = try ChildProcess(
                try Programs.path(program), ["help"] + words,
                environment: try variables().merging(["HOME": person.home]) { $1 }
            ).finish()
            #expect(outcome.code == 0)
            return outcome.output
        }
        /// The words in the left column of a list.
        func rows(_ page: String, under heading: String?) -> [String] {
            var isInside = heading == nil
            return page.split(separator: "\n", omittingEmptySubsequences: false).compactMap { line in
                if let heading, !line.hasPrefix(" ") { isInside = line == heading }
                guard isInside, line.hasPrefix("  "), !line.hasPrefix("   "), !line.hasPrefix("  -") else { return nil }
                return line.split(separator: " ").first.map(String.init)
            }
        }
        // The examples at its beginning are commands to type.
        let overview = try page([]).split(separator: "\n", omittingEmptySubsequences: false)
            .filter { !$0.hasPrefix("  \(program) ") }.joined(separator: "\n")
        #expect(english(in: prose(overview)).isEmpty)
        var pages = 0
        for command in rows(overview, under: nil) {
            let own = try page([command])
            #expect(english(in: prose(own)).isEmpty, "\(english(in: prose(own)))")
            pages += 1
            for subcommand in rows(own, under: "Команды") {
                let below = try page([command, subcommand])
                #expect(english(in: prose(below)).isEmpty, "\(english(in: prose(below)))")
                pages += 1
            }
        }
        #expect(pages > 5)
    }

    @Test(
        "no error has a sentence of English left",
        arguments: [
            ["lgo"], ["log", "--nix"], ["log", "a", "b"], ["log", "--since", "soon"], ["log", "-n", "x"], ["pm"],
            ["log", "--all", "--after", "3"], ["log", "--format", "%q"], ["--timeout", "0", "log"], ["search", "-x"],
            ["send", "--lines", "--ndjson"], ["config", "set", "timeout", "x"], ["config", "get", "colour"],
            ["--server", "ftp://x", "whoami"], ["--profile", "a/b", "whoami"], ["whoami"], ["outbox", "drop"],
            ["login", "bob"], ["--token-file", "/nonexistent", "whoami"], ["search"], ["log", "--cursor-file", "/"],
            ["completion", "csh"], ["register", "x", "--password-file", "/nonexistent"], ["watch", "--exec", ""],
            ["log"], ["sync"], ["verify"], ["users"], ["send", "hello"], ["group", "join"], ["doctor"],
        ])
    func errors(words: [String]) throws {
        let person = try LanguageTests.nobody.get().person("nobody").alone
        let outcome = try person.run(words, environment: try variables())
        let text = outcome.errors + outcome.output
        #expect(outcome.code != 0 && isRussian(text), "\(text)")
        #expect(english(in: text).isEmpty, "\(text)")
        #expect(try person.run(words).code == outcome.code)
        // A logged-in user gets the same without the server.
        let alice = try LanguageTests.nobody.get().alice.alone
        let second = try alice.run(words, environment: try variables())
        #expect(english(in: second.errors).isEmpty, "\(second.errors)")
    }
}
