import NatterCommandLine
import Testing

@Suite("tables")
struct TableTests {
    @Test("columns line up, whatever the script; the last one has no blanks behind it")
    func alignment() {
        var table = Table([.left, .right, .left])
        table.add(["general", "12", "now"])
        table.add(["@Маша", "3", ""])
        table.add(["語", "100"])
        table.add(["e\u{301}👍🏽", "", "x", "surplus"])
        #expect(
            table.lines() == [
                "general   12  now", "@Маша      3  -", "語       100  -", "e\u{301}👍🏽        -  x",
            ])
    }

    @Test("a header is a row that can be painted")
    func header() {
        var table = Table([.left, .left], header: ["name", "seen"])
        table.add(["bob", "today"])
        #expect(table.lines() == ["name  seen", "bob   today"])
        #expect(table.lines(paint: Paint(isOn: true)) == ["\u{1B}[1mname  seen\u{1B}[m", "bob   today"])
        #expect(Table([.left]).lines().isEmpty)
    }

    @Test("no cell breaks out of its line")
    func escaping() throws {
        var table = Table([.left, .text])
        table.add(["a\nb\u{1B}[2J\u{202E}", "👩‍👧\n"])
        table.add(["👩‍👧", ""])
        let output = Output.memory()
        try table.write(to: output)
        #expect(output.text == "a\\x0ab\\x1b[2J\\u{202e}  👩‍👧\\x0a\n👩\\u{200d}👧           -\n")
    }

    @Test(
        "widths",
        arguments: [
            ("", 0), ("abc", 3), ("Маша", 4), ("日本", 4), ("한국", 4), ("e\u{301}", 1), ("👨‍👩‍👧", 2), ("🇩🇪", 2), ("❤️", 2),
            ("|trey|", 6), ("✅", 2), ("❌", 2), ("⌚", 2), ("⭐", 2), ("⚡", 2), ("♿", 2), ("🀄", 2), ("🆗", 2), ("🈚", 2),
            ("🈂", 2),
            ("✓", 1), ("→", 1), ("☎", 1), ("🅰", 1),
        ])
    func widths(text: String, columns: Int) { #expect(DisplayWidth.columns(text) == columns) }
}
