internal import NatterSystem

/// The content of a disk: files and directories by number, beginning with the root. A renamed file keeps its number, so
/// that a lost name can be told from lost content.
package struct DiskImage: Sendable {
    package typealias Number = Int

    package struct Node: Sendable {
        package let isDirectory: Bool
        package var bytes: [UInt8] = []
        package var entries: [String: Number] = [:]
        /// The last change of the content, in milliseconds since 1970.
        package var modified: Int64 = 0
    }

    package private(set) var nodes = [Node(isDirectory: true)]

    package init() {}

    /// One change of a disk.
    package enum Operation: Sendable {
        case write(Number, offset: Int, [UInt8])
        case truncate(Number, size: Int)
        /// Gives a new file or directory a name.
        case link(Number, directory: Number, name: String)
        case rename(Number, directory: Number, name: String, toDirectory: Number, toName: String)
        case unlink(directory: Number, name: String)
        case sync(Number)
        /// A failed sync. The writes that it covered never become durable, not even by a later sync.
        case failedSync(Number)
        case syncDirectory(Number)
    }

    /// Adds a file or directory that has no name yet.
    package mutating func add(isDirectory: Bool) -> Number {
        nodes.append(Node(isDirectory: isDirectory))
        return nodes.count - 1
    }

    package mutating func touch(_ number: Number, _ milliseconds: Int64) { nodes[number].modified = milliseconds }

    /// Applies an operation. Files that another image has created are created here, too.
    package mutating func apply(_ operation: Operation, from other: DiskImage? = nil) {
        if let other {
            while nodes.count < other.nodes.count {
                nodes.append(Node(isDirectory: other.nodes[nodes.count].isDirectory))
            }
        }
        switch operation {
        case .write(let number, let offset, let bytes): write(bytes[...], to: number, at: offset)
        case .truncate(let number, let size): resize(number, size)
        case .link(let number, let directory, let name): nodes[directory].entries[name] = number
        case .rename(let number, let directory, let name, let toDirectory, let toName):
            nodes[directory].entries[name] = nil
            nodes[toDirectory].entries[toName] = number
        case .unlink(let directory, let name): nodes[directory].entries[name] = nil
        case .sync, .failedSync, .syncDirectory: break
        }
    }

    package mutating func write(_ bytes: ArraySlice<UInt8>, to number: Number, at offset: Int) {
        if nodes[number].bytes.count < offset + bytes.count { resize(number, offset + bytes.count) }
        bytes.withUnsafeBytes { source in
            nodes[number].bytes.withUnsafeMutableBytes { target in
                UnsafeMutableRawBufferPointer(rebasing: target[offset..<offset + source.count]).copyMemory(from: source)
            }
        }
    }

    package mutating func resize(_ number: Number, _ size: Int) {
        let growth = size - nodes[number].bytes.count
        if growth > 0 {
            nodes[number].bytes.append(contentsOf: repeatElement(0, count: growth))
        } else {
            nodes[number].bytes.removeLast(-growth)
        }
    }

    /// - Returns: nil if there is no entry of that name.
    package func number(of path: String) -> Number? {
        var number = 0
        for name in path.utf8.split(separator: UInt8(ascii: "/")) {
            guard let next = nodes[number].entries[String(Substring(name))] else { return nil }
            number = next
        }
        return number
    }

    /// The bytes of all files together.
    package var byteCount: Int {
        var count = 0
        walk { count += $1.bytes.count }
        return count
    }

    /// The content of every file by its path.
    package func files() -> [String: [UInt8]] {
        var found: [String: [UInt8]] = [:]
        walk { path, node in if !node.isDirectory { found[path] = node.bytes } }
        return found
    }

    /// A hash that is equal for equal names and contents.
    package func fingerprint() -> UInt64 {
        var hash: UInt64 = 0
        walk { path, node in
            var part: UInt64 = 0xCBF2_9CE4_8422_2325
            for byte in path.utf8 { part = (part ^ UInt64(byte)) &* 0x100_0000_01B3 }
            part = (part ^ UInt64(Checksum.crc32c(node.bytes))) &* 0x100_0000_01B3
            part = (part ^ UInt64(node.bytes.count)) &* 0x9E37_79B9_7F4A_7C15
            // Add the parts, because a directory has no order.
            hash &+= part ^ (part >> 29)
        }
        return hash
    }

    private func walk(_ visit: (String, Node) -> Void) {
        func walk(_ number: Number, _ path: String) {
            visit(path, nodes[number])
            for (name, inner) in nodes[number].entries { walk(inner, path + "/" + name) }
        }
        walk(0, "")
    }
}
