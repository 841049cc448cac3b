import NatterCommandLine
import NatterModel
import Testing
import TestSupport

@Suite("-c and an operand name the conversation alike")
struct ConversationOperandTests {
    private static let program = ProgramSpec(
        name: "natter", tagline: "chat", version: "1",
        commands: [
            row("log", [.optional("CONV", "")]), row("export", [.required("CONV", "")]),
            row("mark", [.optional("CONV", ""), .optional("SEQ", "")]),
            row("show", [.optional("CONV", ""), .required("SEQ", "")]),
            row("edit", [.optional("CONV", ""), .required("SEQ", ""), .optional("TEXT", isRepeating: true, "")]),
            row("erase", [.required("CONV", ""), .required("SEQ", isRepeating: true, "")]),
            row("retain", [.required("CONV", ""), .required("TIME", "")]),
            row("sync", [.optional("CONV", isRepeating: true, "")]),
        ])

    private static func row(_ name: String, _ operands: [OperandSpec]) -> CommandSpec {
        CommandSpec(name, "", operands: operands, run: Fixture.succeed)
    }

    private func operands(_ line: String) throws -> [String] {
        try Fixture.arguments(line.split(separator: " ").map(String.init), program: Self.program).operands
    }

    @Test(
        "by one rule for every command",
        arguments: [
            ("log", ""), ("log -c ops", "ops"), ("log ops", "ops"), ("log ops -c OPS", "OPS"), ("log 17", "17"),
            ("export --conversation=ops", "ops"), ("sync -c ops", "ops"), ("sync a b", "a b"),
            ("sync -c a -c b", "a b"),
            ("mark", ""), ("mark ops", "ops"), ("mark -c ops", "ops"), ("mark -c ops 17", "ops 17"),
            ("mark ops 17", "ops 17"), ("mark 17", "general 17"), ("mark 17 3", "17 3"),
            ("show 17", "general 17"), ("show ops 17", "ops 17"), ("show -c ops 17", "ops 17"), ("show 2 17", "2 17"),
            ("show last", "general last"), ("show ops -1", "ops -1"), ("show -1", "general -1"),
            ("edit 17 new text", "general 17 new text"), ("edit ops 17 new text", "ops 17 new text"),
            ("edit -c ops 17 new", "ops 17 new"), ("edit -c @bob @bob 17", "@bob 17"), ("edit -c 5 17", "5 17"),
            ("erase ops 17-20 22", "ops 17-20 22"), ("erase -c ops 17-20 22", "ops 17-20 22"),
            ("erase 17 18", "17 18"), ("retain -c ops 90d", "ops 90d"), ("retain ops 90d", "ops 90d"),
        ])
    func rule(line: String, expected: String) throws {
        #expect(try operands(line) == expected.split(separator: " ").map(String.init))
    }

    @Test(
        "two different ones are refused, and what is missing is named",
        arguments: [
            ("log -c ops bob", "CONV is given twice, as -c and as an operand: 'ops', 'bob'"),
            ("sync -c ops ops bob", "CONV is given twice"), ("edit -c ops bob 17 x", "CONV is given twice"),
            ("retain -c ops bob 90d", "CONV is given twice"), ("edit ops", "'edit' needs SEQ"),
            ("show", "'show' needs SEQ"), ("export", "'export' needs CONV"), ("retain 90d", "'retain' needs TIME"),
            ("show a b c", "'show' takes at most CONV SEQ; 'c' is one too many"),
        ])
    func refused(line: String, problem: String) throws {
        let error = try #require(Fixture.error(line.split(separator: " ").map(String.init), program: Self.program))
        #expect(error.description.hasPrefix(problem), "\(error)")
    }

    @Test("usage and manual show that CONV may be missing before what is needed")
    func usage() throws {
        let path = try #require(try Self.program.command(at: ["edit"]))
        #expect(path.usagePieces.joined(separator: " ") == "edit [-c CONV] [CONV] SEQ [TEXT...]")
        #expect(
            path.synopsisMdoc(program: "natter").hasSuffix(
                ".Op Fl c Ar CONV\n.Op Ar CONV\n.Ar SEQ\n.Op Ar TEXT ...\n"))
    }
}
