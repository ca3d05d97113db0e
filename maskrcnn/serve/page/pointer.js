// What the pointer does with each tool; a finished gesture becomes a correction.

const CLICK_PX = 4;
const CLOSE_PX = 8;

export class Pointer {
  // `desk` has `tool`, `radius()`, `choose(one, isAdded)`, `hover(one, event)`, `correct(what, fields)` and `chosenOne()`.
  constructor(view, desk) {
    this.view = view;
    this.desk = desk;
    this.points = null;
    this.moved = 0;
    this.isMoving = false;
    this.isSpace = false;
    const { canvas } = view;
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.up(event));
    canvas.addEventListener("pointercancel", () => this.cancel());
    canvas.addEventListener("pointerleave", () => desk.hover(null));
    canvas.addEventListener("dblclick", () => this.finish());
    canvas.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        const box = canvas.getBoundingClientRect();
        view.zoom(1.0015 ** -event.deltaY, event.clientX - box.left, event.clientY - box.top);
      },
      { passive: false },
    );
  }

  down(event) {
    if (!this.view.image) return;
    this.view.canvas.setPointerCapture(event.pointerId);
    this.last = [event.clientX, event.clientY];
    this.moved = 0;
    const at = this.view.at(event);
    const { tool } = this.desk;
    if (event.button === 1 || this.isSpace) {
      this.isMoving = true;
    } else if (event.button !== 0) {
      return;
    } else if (tool === "polygon") {
      const first = this.points && this.points[0];
      const isEnd = first && this.points.length > 2 && distance(first, at) * this.view.scale < CLOSE_PX;
      if (isEnd) this.finish();
      else this.points = [...(this.points || []), at];
    } else if (tool === "select") {
      this.isMoving = !this.view.under(at);
    } else {
      this.points = tool === "box" ? [at, at] : [at];
    }
    this.show();
  }

  move(event) {
    const at = this.view.at(event);
    if (!event.buttons) {
      this.desk.hover(this.view.under(at), event);
      return;
    }
    this.moved += this.last ? Math.hypot(event.clientX - this.last[0], event.clientY - this.last[1]) : 0;
    const { tool } = this.desk;
    if (this.isMoving) {
      this.view.move(event.clientX - this.last[0], event.clientY - this.last[1]);
    } else if (this.points && tool === "box") {
      this.points[1] = at;
    } else if (this.points && tool !== "polygon") {
      const events = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
      for (const one of events.length ? events : [event]) this.points.push(this.view.at(one));
    }
    this.last = [event.clientX, event.clientY];
    this.show();
  }

  up(event) {
    const wasMoving = this.isMoving;
    this.isMoving = false;
    const { tool } = this.desk;
    if (tool === "select" && this.moved < CLICK_PX) {
      this.desk.choose(this.view.under(this.view.at(event)), event.shiftKey || event.ctrlKey || event.metaKey);
      return;
    }
    if (wasMoving || !this.points || tool === "polygon") return;
    const points = this.points;
    this.cancel();
    if (tool === "box" && this.moved >= CLICK_PX) this.desk.correct("add-box", { box: [...points[0], ...points[1]] });
    if (tool === "brush" || tool === "erase") this.desk.stroke(points, tool === "erase");
    if (tool === "cut" && points.length > 1) this.desk.cut(points);
  }

  // End an outline.
  finish() {
    if (this.desk.tool !== "polygon" || !this.points) return false;
    const points = this.points.filter((one, i, all) => !i || distance(one, all[i - 1]) * this.view.scale > 1);
    this.cancel();
    if (points.length > 2) this.desk.correct("add-polygon", { points });
    return true;
  }

  cancel() {
    const was = this.points !== null;
    this.points = null;
    this.show();
    return was;
  }

  show() {
    const { tool } = this.desk;
    this.view.scene.sketch = this.points ? { kind: tool, points: this.points, radius: this.desk.radius() } : null;
    this.view.draw();
  }
}

function distance([x0, y0], [x1, y1]) {
  return Math.hypot(x1 - x0, y1 - y0);
}
