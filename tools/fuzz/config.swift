// A settings file, and the same file with one setting changed.
import NatterCommandLine

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let text = FuzzInput(start, count).text
    guard let file = try? ConfigFile(parsing: text, path: "natterd.conf") else { return 0 }
    for entry in file.entries.prefix(20) {
        require(!entry.key.isEmpty && !entry.key.hasPrefix("#"), "a key is none")
        _ = try? file.boolean(entry)
        _ = file.unknownKey(entry, known: ["listen", "log-level"])
    }
    // The setting must be read as it was set, whatever else the file contains.
    let changed = ConfigFile.text(text, setting: "listen", to: "[::1]:0")
    let read = try? ConfigFile(parsing: changed, path: "natterd.conf")
    require(read?.value("listen") == "[::1]:0", "a setting was not set")
    let others = file.entries.filter { $0.key != "listen" }.map { [$0.key, $0.value] }
    let left = read?.entries.filter { $0.key != "listen" }.map { [$0.key, $0.value] }
    require(left == others, "another one has changed")
    let removed = try? ConfigFile(parsing: ConfigFile.text(changed, setting: "listen", to: nil), path: "natterd.conf")
    require(removed.map { $0.value("listen") } == .some(nil), "a setting was not removed")
    return 0
}
