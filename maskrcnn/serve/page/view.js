// The picture and its objects on the canvas: where they lie, and which is under the pointer.

const MARGIN = 8;
const MAX_SCALE = 40;

export class View {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.image = null;
    this.size = { width: 0, height: 0 };
    this.scale = 1;
    this.left = 0;
    this.top = 0;
    this.scene = { objects: [], chosen: new Set(), hovered: null, color: () => "#fff", sketch: null };
    this.isDue = false;
    new ResizeObserver(() => this.resized()).observe(canvas);
  }

  open(image, size) {
    this.image = image;
    this.size = size;
    this.fit();
  }

  resized() {
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(this.canvas.clientWidth * ratio);
    const height = Math.round(this.canvas.clientHeight * ratio);
    if (width !== this.canvas.width || height !== this.canvas.height) {
      this.canvas.width = width;
      this.canvas.height = height;
      this.fit();
    }
  }

  fit() {
    const { clientWidth, clientHeight } = this.canvas;
    const { width, height } = this.size;
    if (width) {
      this.scale = Math.min((clientWidth - MARGIN) / width, (clientHeight - MARGIN) / height);
      this.left = (clientWidth - width * this.scale) / 2;
      this.top = (clientHeight - height * this.scale) / 2;
    }
    this.draw();
  }

  // Larger or smaller by a factor, with the place (x, y) of the canvas where it is.
  zoom(factor, x = this.canvas.clientWidth / 2, y = this.canvas.clientHeight / 2) {
    const scale = Math.min(MAX_SCALE, Math.max(0.02, this.scale * factor));
    this.left = x - ((x - this.left) * scale) / this.scale;
    this.top = y - ((y - this.top) * scale) / this.scale;
    this.scale = scale;
    this.draw();
  }

  move(x, y) {
    this.left += x;
    this.top += y;
    this.draw();
  }

  // From a pointer event to px of the picture.
  at(event) {
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left - this.left) / this.scale, (event.clientY - box.top - this.top) / this.scale];
  }

  // The smallest object at a place of the picture, or null.
  under([x, y]) {
    let best = null;
    for (const one of this.scene.objects) {
      const [x0, y0, x1, y1] = one.box;
      if (x < x0 - 1 || x > x1 + 1 || y < y0 - 1 || y > y1 + 1) continue;
      if (best && best.area <= one.area) continue;
      if (this.context.isPointInPath(one.path, x, y, "evenodd")) best = one;
    }
    return best;
  }

  // Draw once before the next frame, however often it is asked for.
  draw() {
    if (this.isDue) return;
    this.isDue = true;
    requestAnimationFrame(() => {
      this.isDue = false;
      this.paint();
    });
  }

  paint() {
    const { context, canvas, scene } = this;
    const ratio = window.devicePixelRatio || 1;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (!this.image) return;
    // Hits are tested in px of the picture, so this transform is undone at the end.
    context.setTransform(this.scale * ratio, 0, 0, this.scale * ratio, this.left * ratio, this.top * ratio);
    context.imageSmoothingEnabled = this.scale < 4;
    context.drawImage(this.image, 0, 0, this.size.width, this.size.height);
    const px = 1 / this.scale;
    for (const one of scene.objects) {
      const isChosen = scene.chosen.has(one.number);
      const isHovered = scene.hovered === one;
      context.fillStyle = scene.color(one);
      context.globalAlpha = isChosen ? 0.45 : isHovered ? 0.4 : 0.22;
      context.fill(one.path, "evenodd");
      context.globalAlpha = 1;
      context.strokeStyle = scene.color(one);
      context.lineWidth = (isChosen || isHovered ? 3 : 1.5) * px;
      context.stroke(one.path);
    }
    for (const one of scene.objects) {
      if (!scene.chosen.has(one.number)) continue;
      const [x0, y0, x1, y1] = one.box;
      for (const [style, width] of [["#000", 3], ["#fff", 1.5]]) {
        context.strokeStyle = style;
        context.lineWidth = width * px;
        context.strokeRect(x0 - 2 * px, y0 - 2 * px, x1 - x0 + 4 * px, y1 - y0 + 4 * px);
      }
    }
    if (scene.sketch) this.sketch(scene.sketch, px);
    context.setTransform(1, 0, 0, 1, 0, 0);
  }

  // What the pointer has drawn so far.
  sketch({ kind, points, radius }, px) {
    const { context } = this;
    context.beginPath();
    if (kind === "box") {
      const [[x0, y0], [x1, y1]] = points;
      context.rect(x0, y0, x1 - x0, y1 - y0);
    } else {
      points.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
      if (points.length === 1) context.lineTo(points[0][0] + px / 100, points[0][1]);
    }
    if (kind === "brush" || kind === "erase") {
      context.lineCap = context.lineJoin = "round";
      context.lineWidth = 2 * radius + 1;
      context.globalAlpha = 0.5;
      context.strokeStyle = kind === "brush" ? "#fff" : "#000";
      context.stroke();
      context.globalAlpha = 1;
      return;
    }
    for (const [style, width, dash] of [["#000", 3, []], ["#fff", 1.5, [6 * px, 4 * px]]]) {
      context.strokeStyle = style;
      context.lineWidth = width * px;
      context.setLineDash(dash);
      context.stroke();
    }
    context.setLineDash([]);
    if (kind === "polygon") {
      for (const [x, y] of points) {
        context.fillStyle = "#fff";
        context.fillRect(x - 2.5 * px, y - 2.5 * px, 5 * px, 5 * px);
      }
    }
  }
}

// What the server says of an object, with the path that is drawn and hit.
export function withPath(one) {
  const path = new Path2D();
  for (const ring of one.rings) {
    path.moveTo(ring[0], ring[1]);
    for (let i = 2; i < ring.length; i += 2) path.lineTo(ring[i], ring[i + 1]);
    path.closePath();
  }
  return { ...one, path };
}
