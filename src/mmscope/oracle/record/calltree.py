# SPDX-License-Identifier: GPL-2.0-or-later
"""Call graphs from the kernel's function tracer: who called whom, inlined functions too, without what is noise for memory.

The plain `function` tracer says of each call: the function, its caller, the return address. gcc inlines handle_pte_fault,
do_anonymous_page and many more; addr2line names them for each return address, and so they come back into the tree.

    do_user_addr_fault
      find_vma
      handle_mm_fault
        ~__handle_mm_fault        inlined
          ?xa_load                its caller was not traced
          pte_alloc_one  x2       twice; [repeat x3] over several lines likewise
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from mmscope.errors import MmscopeError

__all__ = ["Hit", "Node", "call_tree", "inlined_frames", "key_lines", "parse_trace"]

_HIT = re.compile(r"^(\S+?)\+0x([0-9a-f]+)/0x[0-9a-f]+.*?<([0-9a-f]+)> <-(\S+?)(?:\+0x([0-9a-f]+)/0x[0-9a-f]+.*?)? <([0-9a-f]+)>")
#: Who writes to tracing_on, at both ends of a recording.
_TRACING = {
    "rb_simple_write", "vfs_write", "ksys_write", "syscall_exit_to_user_mode", "exit_to_user_mode_prepare",
    "irqentry_exit_to_user_mode",
}  # fmt: skip
#: Where a tree begins.
_ROOTS = _TRACING | {
    "do_user_addr_fault", "exc_page_fault", "do_syscall_64", "ret_from_fork", "irqentry_exit", "__x64_sys_exit_group",
}  # fmt: skip
#: Locks, RCU, interrupts, scheduling, statistics, memory cgroups, slab, security hooks, and the block layer's queues.
_NOISE = re.compile(
    r"""(_cond_resched|rcu_.*|__rcu.*|_raw_.*|irq_.*|__irq.*|sysvec.*|asm_.*|do_softirq.*|__do_softirq|idle_cpu|schedule
    |__schedule|io_schedule|exit_to_user_mode.*|syscall_exit.*|mem_cgroup_(from_task|handle).*|get_mem_cgroup.*
    |count_memcg.*|__count_memcg.*|__mod_.*|mod_.*|__inc_.*|inc_.*|cgroup_throttle.*|kthread_blkcg|should_fail.*|psi_.*
    |fpregs.*|switch_fpu.*|blkcg_.*|__rseq.*|mutex_unlock|mutex_lock|__fsnotify.*|fsnotify.*|lock_page_memcg
    |unlock_page_memcg|__unlock_page_memcg|dec_.*|__dec_.*|up_.*|down_.*|__down.*|__up.*|kmem_cache_.*|___slab.*
    |prep_new_page|native_.*|pv_.*|__raw.*|__traceiter.*|try_charge|mem_cgroup_charge_stat.*|memcg_check.*|mod_memcg.*
    |uncharge.*|security_.*|apparmor.*|cap_.*|rw_verify.*|vfs_write|ksys_write|__x64_sys_write|__fdget.*|__fget.*|fput.*
    |perf_.*|blk_.*|submit_bio.*|hrtimer.*|tick_.*|ktime.*|update_.*|scheduler_tick|common_interrupt|handle_.*irq.*
    |__common_interrupt|rw_sem.*|kfree.*|kmalloc.*|__kmalloc.*|syscall_trace.*|local_.*|spin_.*|get_page|put_page
    |spin_lock|PageHead|SetPage.*|trace_.*|arch_local.*|i_mmap_lock.*|i_mmap_unlock.*|anon_vma_lock.*|anon_vma_unlock.*
    |mmap_write.*|mmap_read.*|add_mm_counter_fast.*)""",
    re.VERBOSE,
)
#: Longest run of different neighbours that [repeat] looks for.
_LONGEST_RUN = 6


@dataclass(frozen=True)
class Hit:
    """One line of the tracer. Addresses of functions and of the return."""

    function: str
    entry: int
    caller: str
    caller_entry: int
    return_address: int


@dataclass
class Node:
    """A call. `entry` and `return_address` are None for what was inlined."""

    name: str
    inlined: bool = False
    entry: int | None = None
    return_address: int | None = None
    unknown_caller: bool = False
    calls: list[Node] = field(default_factory=list)


def parse_trace(text: str) -> list[Hit]:
    """The calls in the tracer's output (options sym-addr and sym-offset)."""
    hits = []
    for line in text.splitlines():
        if match := _HIT.match(line):
            function, offset, address, caller, caller_offset, return_address = match.groups()
            back = int(return_address, 16)
            start = back - int(caller_offset or "0", 16)
            hits.append(Hit(function, int(address, 16) - int(offset, 16), caller, start, back))
    return hits


def inlined_frames(vmlinux: Path, hits: list[Hit]) -> dict[int, list[str]]:
    """For each return address, the functions inlined there, outermost first."""
    addresses = sorted({hit.return_address - 1 for hit in hits if hit.return_address >> 47})
    query = "".join(f"{address:#x}\n" for address in addresses)
    try:
        done = subprocess.run(
            ["addr2line", "-a", "-f", "-i", "-e", str(vmlinux)], input=query, capture_output=True, text=True, check=True
        )
    except FileNotFoundError:
        raise MmscopeError("addr2line is not installed (package binutils)") from None
    frames: dict[int, list[str]] = {}
    names: list[str] = []
    is_name = True
    for line in done.stdout.splitlines():
        if line.startswith("0x"):
            names = frames[int(line, 16) + 1] = []
            is_name = True
        else:
            if is_name:
                names.append(line)
            is_name = not is_name
    # The last is the function itself, which the tracer names.
    return {address: chain[-2::-1] if len(chain) > 1 else [] for address, chain in frames.items()}


def call_tree(hits: list[Hit], frames: dict[int, list[str]]) -> Node:
    """The tree under a nameless root."""
    root = Node("")
    stack = [root]
    for hit in hits:
        depth = len(stack) - 1
        while depth > 0 and (stack[depth].inlined or stack[depth].entry != hit.caller_entry):
            depth -= 1
        if depth == 0:
            parent = Node(hit.caller, entry=hit.caller_entry)
            if hit.caller in _ROOTS:
                if root.calls and root.calls[-1].entry == hit.caller_entry:
                    parent = root.calls[-1]
                else:
                    root.calls.append(parent)
                stack = [root, parent]
            else:
                parent.unknown_caller = True
                stack[-1].calls.append(parent)
                stack.append(parent)
            depth = len(stack) - 1
        inlined = frames.get(hit.return_address, [])
        at, same = depth + 1, 0
        while same < len(inlined) and at < len(stack) and stack[at].inlined and stack[at].name == inlined[same]:
            at, same = at + 1, same + 1
        del stack[at:]
        for name in inlined[same:]:
            node = Node(name, inlined=True)
            stack[-1].calls.append(node)
            stack.append(node)
        node = Node(hit.function, entry=hit.entry, return_address=hit.return_address)
        # The same return address and another function: the earlier one called this one in its tail.
        while (last := stack[-1].calls[-1:]) and last[0].return_address == hit.return_address and last[0].name != hit.function:
            stack.append(last[0])
        stack[-1].calls.append(node)
        stack.append(node)
    root.calls = [call for call in root.calls if call.name not in _TRACING]
    return root


def key_lines(node: Node, depth: int = 0) -> list[str]:
    """The tree under a node without noise, two spaces a level, neighbours that repeat folded."""
    calls = [(("~" if sub.inlined else "?" if sub.unknown_caller else "") + sub.name, key_lines(sub, depth + 1))
             for sub in node.calls if not _NOISE.fullmatch(sub.name)]  # fmt: skip
    lines: list[str] = []
    at = 0
    while at < len(calls):
        times, length = _repetition(calls, at)
        if times > 1 and length > 1:
            lines.append("  " * depth + f"[repeat x{times}]")
            for name, below in calls[at : at + length]:
                lines += ["  " * (depth + 1) + name, *("  " + line for line in below)]
        else:
            name, below = calls[at]
            lines += ["  " * depth + name + (f"  x{times}" if times > 1 else ""), *below]
        at += times * length
    return lines


def _repetition(calls: list[tuple[str, list[str]]], at: int) -> tuple[int, int]:
    """(times, length) of the run at `at` that covers most; (1, 1) if nothing repeats."""
    best = (1, 1)
    for length in range(1, _LONGEST_RUN + 1):
        run = calls[at : at + length]
        times = 1
        while len(run) == length and calls[at + times * length : at + (times + 1) * length] == run:
            times += 1
        if times > 1 and (best == (1, 1) or times * length > best[0] * best[1]):
            best = (times, length)
    return best
