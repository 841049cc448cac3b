import Glibc
import NatterSystem

/// A directory of its own for each test, gone with the value.
final class TemporaryDirectory {
    let path: String

    init() throws {
        var template = Array("/tmp/natter-log-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw DiskError(operation: "make", path: "/tmp/natter-log-XXXXXX") }
        path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    deinit { TemporaryDirectory.remove(path) }

    private static func remove(_ path: String) {
        let disk = PosixDisk()
        for name in (try? disk.list(path)) ?? [] {
            let inner = "\(path)/\(name)"
            if (try? disk.information(inner))??.isDirectory == true { remove(inner) } else { try? disk.remove(inner) }
        }
        rmdir(path)
    }
}
